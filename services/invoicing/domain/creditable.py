"""A finalized invoice as credit notes see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from services.invoicing.domain.credit_note import Creditable, CreditableLine, NoteAmounts
from services.invoicing.domain.line import Line
from services.invoicing.domain.tax import TaxAmount


def creditable_of(
    lines: Iterable[Line],
    taxes: Iterable[TaxAmount],
    tax_minor: int,
    notes: Sequence[NoteAmounts] = (),
) -> Creditable:
    """Return what an invoice of `lines` has left after `notes`: all lines bear all its taxes."""
    percent = sum((Fraction(tax.tax.rate_percent) for tax in taxes), Fraction(0))
    billed = (CreditableLine(one.line_id, one.net_minor, percent / 100) for one in lines)
    return Creditable(tuple(billed), tax_minor, tuple(notes))
