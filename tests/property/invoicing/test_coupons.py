"""Whatever fees, coupons and taxes: parts sum to wholes, and nothing costs less than nothing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import floor
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.coupon import (
    CouponOrder,
    CouponScope,
    OpenCoupon,
    exact_shares,
    in_order,
    use_coupons,
)
from services.invoicing.domain.credit_note import NoteAmounts, NoteItem, price_note
from services.invoicing.domain.creditable import creditable_of
from services.invoicing.domain.discounts import AmountOff, PercentOff
from services.invoicing.domain.invoice import Content, compose, with_coupons, with_taxes
from services.invoicing.domain.tax import Tax, TaxTerms
from tests.unit.invoicing.samples import INVOICE_ID, amount_fee, rated

METERS = ("calls", "storage")
TAXES = {code: Tax(code, code, rate) for code, rate in (("a", Decimal(20)), ("b", Decimal("7.5")))}
HALF = Fraction(1, 2)

fees = st.lists(
    st.tuples(
        st.integers(-300, 2_000),
        st.sampled_from(METERS),
        st.sampled_from([(), ("a",), ("b",), ("a", "b")]),
    ),
    min_size=1,
    max_size=7,
).filter(lambda each: sum(amount for amount, _, _ in each) >= 0)
discounts = st.decimals("0.5", 100, places=1).map(PercentOff) | st.integers(1, 900).map(AmountOff)
scopes = st.sampled_from(
    [CouponScope(), CouponScope(meter_codes=("calls",)), CouponScope(plan_codes=("electricity",))]
)
coupons = st.lists(st.tuples(discounts, scopes), max_size=5)


def opened(wanted: list[tuple[PercentOff | AmountOff, CouponScope]]) -> list[OpenCoupon]:
    """Coupons of these terms, oldest first."""
    return [
        OpenCoupon(
            applied_coupon_id=UUID(int=number),
            code=str(number),
            name=str(number),
            discount=discount,
            currency="USD" if isinstance(discount, AmountOff) else "",
            scope=scope,
        )
        for number, (discount, scope) in enumerate(wanted)
    ]


def content_of(
    fees: list[tuple[int, str, tuple[str, ...]]], coupons: list[OpenCoupon], order: CouponOrder
) -> Content:
    """An invoice of these fees, each of a charge of its own."""
    billed = [
        replace(amount_fee(amount, code=str(place)), meter_code=meter, tax_codes=codes)
        for place, (amount, meter, codes) in enumerate(fees)
    ]
    content = compose(INVOICE_ID, [rated(billed)])
    used = use_coupons(content.lines, "USD", in_order(coupons, order))
    return with_taxes(with_coupons(content, used), TaxTerms(("a",), TAXES))


@given(fees, coupons, st.sampled_from(CouponOrder))
def test_lines_sum_to_totals_and_shares_to_wholes(
    fees: list[tuple[int, str, tuple[str, ...]]],
    wanted: list[tuple[PercentOff | AmountOff, CouponScope]],
    order: CouponOrder,
) -> None:
    content = content_of(fees, opened(wanted), order)
    lines = content.lines
    assert sum(line.coupons_minor for line in lines) == content.coupons_minor
    assert sum(line.tax_share_minor for line in lines) == content.tax_minor
    assert content.subtotal_minor == sum(line.fee.amount_minor for line in lines) - (
        content.coupons_minor
    )
    assert min(content.subtotal_minor, content.tax_minor, content.gross_minor) >= 0
    shares = exact_shares(lines, content.coupons)
    assert sum(shares) == content.coupons_minor
    for line, share in zip(lines, shares, strict=True):
        assert 0 <= share <= max(line.fee.amount_minor, 0)
        assert 0 <= line.coupons_minor <= max(line.fee.amount_minor, 0)
        assert abs(line.coupons_minor - share) < 1
    exact = {
        code: sum(
            (line.fee.amount_minor - share) * Fraction(tax.rate_percent) / 100
            for line, share in zip(lines, shares, strict=True)
            if code in line.tax_codes
        )
        for code, tax in TAXES.items()
    }
    if all(amount >= 0 for amount in exact.values()):
        found = {one.tax.code: one.amount_minor for one in content.taxes}
        assert found == {code: floor(exact[code] + HALF) for code in found}


@given(fees, coupons)
def test_each_coupon_takes_its_share_of_what_is_left_and_no_more(
    fees: list[tuple[int, str, tuple[str, ...]]],
    wanted: list[tuple[PercentOff | AmountOff, CouponScope]],
) -> None:
    content = content_of(fees, opened(wanted), CouponOrder.SCOPE_THEN_AGE)
    ranks = [(use.coupon.scope.rank, use.coupon.applied_coupon_id) for use in content.coupons]
    assert ranks == sorted(ranks)
    for count, use in enumerate(content.coupons):
        taken = exact_shares(content.lines, content.coupons[:count])
        left = [
            line.fee.amount_minor - part for line, part in zip(content.lines, taken, strict=True)
        ]
        held = sum(
            one
            for line, one in zip(content.lines, left, strict=True)
            if use.coupon.scope.holds(line)
        )
        room = min(held, sum(left))
        assert 0 < use.amount_minor <= room
        match use.coupon.discount:
            case AmountOff(most):
                assert use.amount_minor == min(most, floor(room))
            case PercentOff(percent):
                part = floor(room * Fraction(percent) / 100 + HALF)
                assert use.amount_minor == min(part, floor(room))


@given(fees, coupons, st.integers(1, 3))
def test_notes_of_all_lines_give_back_what_was_billed_and_no_coupon(
    fees: list[tuple[int, str, tuple[str, ...]]],
    wanted: list[tuple[PercentOff | AmountOff, CouponScope]],
    parts: int,
) -> None:
    positive = [(abs(amount), meter, codes) for amount, meter, codes in fees]
    content = content_of(positive, opened(wanted), CouponOrder.SCOPE_THEN_AGE)
    notes: list[NoteAmounts] = []
    for part in range(parts):
        invoice = creditable_of(content.lines, content.taxes, content.coupons, notes)
        items = [
            NoteItem(line_id, left if part == parts - 1 else left // 2)
            for line_id, left in invoice.lines_left().items()
        ]
        items = [item for item in items if item.amount_minor]
        if items:
            notes.append(price_note(invoice, items))
    assert sum(note.items_minor for note in notes) == sum(amount for amount, _, _ in positive)
    if notes:
        assert sum(note.subtotal_minor for note in notes) == content.subtotal_minor
        assert sum(note.tax_minor for note in notes) == content.tax_minor
