"""What coupons take off, in which order, and which taxes are on the rest."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from services.invoicing.domain.coupon import (
    CouponOrder,
    CouponScope,
    OpenCoupon,
    in_order,
    use_coupons,
)
from services.invoicing.domain.discounts import AmountOff, Discount, PercentOff
from services.invoicing.domain.invoice import Content, compose, with_coupons, with_taxes
from services.invoicing.domain.party import Customer
from services.invoicing.domain.tax import Tax, TaxTerms
from tests.unit.invoicing.samples import INVOICE_ID, amount_fee, rated

TENTH, FIFTH = Tax("tenth", "Tenth", Decimal(10)), Tax("fifth", "Fifth", Decimal(20))
KNOWN = {tax.code: tax for tax in (TENTH, FIFTH)}
ANYTHING = CouponScope()
OF_CALLS = CouponScope(meter_codes=("calls",))
OF_PLAN = CouponScope(plan_codes=("electricity",))


def coupon(
    name: str, discount: Discount, scope: CouponScope = ANYTHING, currency: str = ""
) -> OpenCoupon:
    amount = isinstance(discount, AmountOff)
    return OpenCoupon(
        applied_coupon_id=UUID(bytes=name.encode().ljust(16)),
        code=name,
        name=name,
        discount=discount,
        currency=currency or ("AUD" if amount else ""),
        scope=scope,
    )


HALF = coupon("half", PercentOff(Decimal(50)))


def billed(**amounts: int) -> Content:
    """An invoice of a fee of so much for each meter."""
    return compose(INVOICE_ID, [rated([amount_fee(one, code=of) for of, one in amounts.items()])])


def used(content: Content, *coupons: OpenCoupon) -> list[tuple[str, int]]:
    uses = use_coupons(content.lines, "AUD", coupons)
    return [(use.coupon.code, use.amount_minor) for use in uses]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (CouponOrder.SCOPE_THEN_AGE, ["calls", "plan", "old", "half"]),
        (CouponOrder.PERCENTAGES_FIRST, ["half", "calls", "plan", "old"]),
    ],
)
def test_narrow_coupons_come_first_and_then_old_ones(order: CouponOrder, names: list[str]) -> None:
    given = [
        coupon("old", AmountOff(1)),
        HALF,
        coupon("plan", AmountOff(1), OF_PLAN),
        coupon("calls", AmountOff(1), OF_CALLS),
    ]
    assert [one.code for one in in_order(given, order)] == names


def test_a_coupon_leaves_lines_out_of_its_scope_alone() -> None:
    content = billed(calls=100, storage=300)
    uses = use_coupons(content.lines, "AUD", [coupon("calls", AmountOff(150), OF_CALLS), HALF])
    assert [line.coupons_minor for line in with_coupons(content, uses).lines] == [100, 150]


def test_a_correction_makes_the_lines_of_a_scope_cheaper_for_a_coupon() -> None:
    content = compose(
        INVOICE_ID, [rated([amount_fee(100), amount_fee(-30), amount_fee(50, code="storage")])]
    )
    assert used(content, coupon("calls", AmountOff(90), OF_CALLS)) == [("calls", 70)]
    less = compose(INVOICE_ID, [rated([amount_fee(100), amount_fee(-80, code="storage")])])
    assert used(less, coupon("calls", AmountOff(90), OF_CALLS)) == [("calls", 20)]


def test_an_amount_in_another_currency_is_not_taken_off() -> None:
    assert used(billed(calls=100), coupon("euro", AmountOff(10), currency="EUR")) == []


def test_what_rounds_to_nothing_is_not_used() -> None:
    assert used(billed(calls=1), coupon("a", PercentOff(Decimal(49)))) == []
    assert used(billed(calls=1), HALF) == [("half", 1)]


def test_the_first_level_that_names_taxes_wins_whole() -> None:
    fees = [amount_fee(100), replace(amount_fee(100, code="storage"), tax_codes=("fifth",))]
    content = compose(INVOICE_ID, [rated(fees)])
    taxed = with_taxes(content, TaxTerms(("tenth",), KNOWN))
    assert [(line.tax_codes, line.tax_share_minor) for line in taxed.lines] == [
        (("tenth",), 10),
        (("fifth",), 20),
    ]
    assert with_taxes(content, TaxTerms(None, KNOWN)).tax_minor == 0


def test_a_tax_below_zero_gives_back_no_more_than_the_others_take() -> None:
    def taxed(correction: int) -> list[tuple[str, int, int]]:
        fees = [amount_fee(100), replace(amount_fee(correction), tax_codes=("fifth",))]
        content = compose(INVOICE_ID, [rated(fees)])
        with_all = with_taxes(content, TaxTerms(("tenth",), KNOWN))
        assert sum(line.tax_share_minor for line in with_all.lines) == with_all.tax_minor
        return [(one.tax.code, one.base_minor, one.amount_minor) for one in with_all.taxes]

    assert taxed(-30) == [("tenth", 100, 10), ("fifth", -30, -6)]
    assert taxed(-80) == [("tenth", 100, 10), ("fifth", -80, -10)]


@pytest.mark.parametrize(
    ("customer", "note"),
    [
        (Customer(customer_id="c"), ""),
        (Customer(customer_id="c", tax_exempt=True), "Exempt from tax"),
        (
            Customer(customer_id="c", tax_exempt=True, tax_exempt_reason="Charity"),
            "Exempt from tax: Charity",
        ),
        (Customer(customer_id="c", reverse_charge=True), "Reverse charge"),
    ],
)
def test_documents_say_why_there_is_no_tax(customer: Customer, note: str) -> None:
    assert customer.tax_note == note
