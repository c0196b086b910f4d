"""A finalized invoice as credit notes see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from services.invoicing.domain.coupon import CouponUse, exact_shares
from services.invoicing.domain.credit_note import Creditable, CreditableLine, NoteAmounts
from services.invoicing.domain.line import Line
from services.invoicing.domain.tax import TaxAmount


def creditable_of(
    lines: Sequence[Line],
    taxes: Iterable[TaxAmount],
    coupons: Iterable[CouponUse],
    notes: Sequence[NoteAmounts] = (),
) -> Creditable:
    """Return what an invoice of `lines`, less `coupons`, has left after `notes`."""
    amounts = list(taxes)
    rates = {one.tax.code: Fraction(one.tax.rate_percent) / 100 for one in amounts}
    billed = (
        CreditableLine(
            line.line_id,
            line.charged_minor,
            sum((rates[code] for code in line.tax_codes), Fraction(0)),
            coupon,
        )
        for line, coupon in zip(lines, exact_shares(lines, coupons), strict=True)
    )
    tax_minor = sum(one.amount_minor for one in amounts)
    return Creditable(tuple(billed), tax_minor, tuple(notes))
