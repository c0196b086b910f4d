"""Coupons and taxes of an invoice of given fees, and what becomes of a coupon after it.

Ids are texts there and UUIDs here; a tax is called by its rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from libs.period import Period
from services.invoicing.domain.applied_coupon import AppliedCoupon, Coupon, CouponStatus, Frequency
from services.invoicing.domain.coupon import (
    CouponOrder,
    CouponScope,
    CouponUse,
    OpenCoupon,
    exact_shares,
    in_order,
    use_coupons,
)
from services.invoicing.domain.discounts import AmountOff, Discount, PercentOff
from services.invoicing.domain.invoice import Content, with_coupons, with_taxes
from services.invoicing.domain.line import Fee, FeeKind, Line
from services.invoicing.domain.party import BillingEntity, Customer, KnownCustomer
from services.invoicing.domain.tax import Tax, TaxTerms
from tests.vectors.comparing import rounded
from tests.vectors.given import Given

PLACES = 5  # Of exact amounts there.
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FREQUENCIES = {
    "once": Frequency.ONCE,
    "recurring": Frequency.PERIODS,
    "forever": Frequency.FOREVER,
}
DEFAULT_PERCENT = Decimal(10)


def coupons_and_taxes(given: Given) -> dict[str, Any]:
    """Run the function that the case is of, which is known by what it gives."""
    if given.has("invoice"):
        return _precedence(given)
    if not given.has("fees"):
        coupon = given.inner("coupon")
        return _voided(coupon) if coupon.has("applied_status") else _used(given, coupon)
    fees = given.each("fees")
    return _invoice(given, fees) if given.has("coupons") else _taxed(fees) | _taxed_alone(fees)


def _invoice(given: Given, fees: Sequence[Given]) -> dict[str, Any]:
    currency = given.text("currency") if given.has("currency") else "EUR"
    coupons = sorted(given.each("coupons"), key=lambda one: int(one.value("created")))
    names = {id_of(one.text("id")): one.text("id") for one in coupons}
    lines = tuple(_line(fee) for fee in fees)
    ordered = in_order((_open(one) for one in coupons), CouponOrder.SCOPE_THEN_AGE)
    used = use_coupons(lines, currency, ordered)
    content = _with_taxes(with_coupons(Content(lines), used))
    shares = exact_shares(content.lines, content.coupons)
    codes = [fee.text("id") for fee in fees]
    return _sums(content) | {
        "applied": [[names[one.coupon.applied_coupon_id], one.amount_minor] for one in used],
        "coupons_amount_cents": content.coupons_minor,
        "precise_coupons_cents": dict(zip(codes, _kept(lines, used), strict=True)),
        "fee_taxes_cents": {
            code: _own_tax(line.charged_minor - share, line.tax_codes)
            for code, line, share in zip(codes, content.lines, shares, strict=True)
        },
    }


def _kept(lines: Sequence[Line], used: Sequence[CouponUse]) -> list[Fraction]:
    """The shares as they are kept there: those of each coupon are rounded."""
    kept, before = [Fraction(0)] * len(lines), [Fraction(0)] * len(lines)
    for count in range(1, len(used) + 1):
        after = exact_shares(lines, used[:count])
        kept = [
            sum_ + rounded(share - earlier, PLACES)
            for sum_, share, earlier in zip(kept, after, before, strict=True)
        ]
        before = after
    return kept


def _taxed(fees: Sequence[Given]) -> dict[str, Any]:
    return _sums(_with_taxes(Content(tuple(_line(fee) for fee in fees))))


def _sums(content: Content) -> dict[str, Any]:
    return {
        "invoice_taxes": [
            {
                "rate": one.tax.rate_percent,
                "base_cents": one.base_minor,
                "amount_cents": one.amount_minor,
            }
            for one in content.taxes
        ],
        "taxes_amount_cents": content.tax_minor,
        "taxes_rate": _mean_rate(content),
        "total_amount_cents": content.gross_minor,
        "taxes_if_recomputed_on_the_invoice_cents": content.tax_minor,
    }


def _mean_rate(content: Content) -> Fraction:
    """What is stated of all taxes: their mean, by amounts or, of nothing, by lines."""
    weights = [line.net_minor for line in content.lines]
    if not any(weights):
        weights = [1 for _ in content.lines]
    rates = [sum(map(Fraction, line.tax_codes)) for line in content.lines]
    weighed = sum(rate * weight for rate, weight in zip(rates, weights, strict=True))
    return Fraction(weighed, sum(weights))


def _taxed_alone(fees: Sequence[Given]) -> dict[str, Any]:
    """What fees that are paid one by one come to."""
    amount = sum(int(fee.value("amount_cents")) for fee in fees)
    taxes = sum(_taxed([fee])["taxes_amount_cents"] for fee in fees)
    return {
        "fees_amount_cents": amount,
        "taxes_amount_cents": taxes,
        "total_amount_cents": amount + taxes,
    }


def _precedence(given: Given) -> dict[str, Any]:
    [entity], [customer] = given.each("billing_entities"), given.each("customers")
    invoice = given.inner("invoice")
    [fee] = invoice.each("fees")
    for one in (entity, customer, invoice, fee):
        for key in ("id", "default", "billing_entity", "customer", "type"):
            if one.has(key):
                one.value(key)
    named = {name: _taxes(one) for name, one in (("e", entity), ("c", customer), ("f", fee))}
    known = KnownCustomer(Customer(customer_id="c", tax_codes=tuple(named["c"])), 1, NOW)
    seller = BillingEntity(default_tax_codes=tuple(named["e"]))
    taxes = {code: tax for each in named.values() for code, tax in each.items()}
    line = _line_of("f", int(fee.value("amount_cents")), tuple(named["f"]))
    content = with_taxes(Content((line,)), TaxTerms(known.tax_codes(seller), taxes))
    return {
        "fee_tax_codes": list(content.lines[0].tax_codes),
        "fee_taxes_cents": content.lines[0].tax_share_minor,
        "invoice_taxes_cents": content.tax_minor,
    }


def _used(given: Given, coupon: Given) -> dict[str, Any]:
    applied = _applied(coupon)
    amount = int(given.value("invoice_cents")) if given.has("invoice_cents") else 10_000
    if given.has("already_credited_on_this_invoice"):
        given.value("already_credited_on_this_invoice")
        both = {one.applied_coupon_id: one for one in (applied, applied)}  # As an invoice has it.
        return {"new_credits": len(both) - 1}
    uses = use_coupons([_line_of("f", amount, ())], "EUR", [applied.opened()])
    after = applied.used(sum(use.amount_minor for use in uses))
    left = after.coupon.most_minor
    return {
        "terminated": after.status is CouponStatus.USED,
        "left_cents": None if left is None else left - after.used_minor,
        "remaining": after.periods_left,
    }


def _voided(coupon: Given) -> dict[str, Any]:
    ended = coupon.text("coupon_status") == "terminated"
    after = _applied(coupon, used=True).given_back(10, ended=ended)
    active = after.status is CouponStatus.ACTIVE
    return {"status": "active" if active else "terminated", "remaining": after.periods_left}


def _applied(given: Given, *, used: bool = False) -> AppliedCoupon:
    """Read a customer's coupon; one that an invoice has `used` took 10 off of it."""
    frequency = FREQUENCIES[given.text("frequency")]
    remaining = 0
    if given.has("frequency_duration_remaining"):
        remaining = int(given.value("frequency_duration_remaining"))
    status = CouponStatus.ACTIVE
    if given.has("applied_status") and given.text("applied_status") == "terminated":
        # Nothing ends what lasts forever but that it is removed.
        forever = frequency is Frequency.FOREVER
        status = CouponStatus.REMOVED if forever else CouponStatus.USED
    discount: Discount = PercentOff(DEFAULT_PERCENT)
    if given.has("type"):
        discount = _discount(given)
    before = int(given.value("already_used_cents")) if given.has("already_used_cents") else 0
    return AppliedCoupon(
        applied_coupon_id=id_of("coupon"),
        customer_id="c",
        coupon=Coupon(
            code="coupon",
            name="coupon",
            discount=discount,
            currency="EUR" if isinstance(discount, AmountOff) else "",
            frequency=frequency,
            periods=remaining + used if frequency is Frequency.PERIODS else 0,
            created_at=NOW,
        ),
        status=status,
        applied_at=NOW,
        used_minor=before + 10 * used,
        used_count=int(used),
    )


def _open(given: Given) -> OpenCoupon:
    frequency = FREQUENCIES[given.text("frequency")]
    if given.has("frequency_duration_remaining"):
        assert frequency is Frequency.PERIODS and given.value("frequency_duration_remaining")
    return OpenCoupon(
        applied_coupon_id=id_of(given.text("id")),
        code=given.text("id"),
        name=given.text("id"),
        discount=_discount(given),
        currency=given.text("currency") if given.has("currency") else "",
        scope=CouponScope(plan_codes=tuple(given.value("plans")) if given.has("plans") else ()),
    )


def _discount(given: Given) -> Discount:
    if given.text("type") == "percentage":
        return PercentOff(given.decimal("percentage_rate"))
    return AmountOff(int(given.value("amount_cents")))


def _line(fee: Given) -> Line:
    rates = tuple(map(str, fee.value("tax_rates"))) if fee.has("tax_rates") else ()
    plan = fee.text("plan") if fee.has("plan") else ""
    return _line_of(fee.text("id"), int(fee.value("amount_cents")), rates, plan)


def _line_of(name: str, amount_minor: int, codes: tuple[str, ...], plan: str = "") -> Line:
    exact = Decimal(amount_minor).scaleb(-2)
    fee = Fee(
        kind=FeeKind.ADD_ON,
        charge_code=name,
        filter_code="",
        meter_code="",
        description=name,
        units=Decimal(1),
        event_count=0,
        exact_amount=exact,
        amount_minor=amount_minor,
        breakdown=(),
        tax_codes=codes,
    )
    return Line(
        line_id=id_of(name),
        fee=fee,
        period_id=id_of("period"),
        adjustment_sequence=0,
        subscription_id="s",
        plan_code=plan,
        plan_version=1,
        period=Period(NOW, NOW),
        first_day=NOW.date(),
        end_day=NOW.date(),
        time_zone="UTC",
        trace_id="",
    )


def _with_taxes(content: Content) -> Content:
    codes = {code for line in content.lines for code in line.fee.tax_codes}
    return with_taxes(content, TaxTerms((), {code: _tax(code) for code in codes}))


def _own_tax(net: Fraction | int, codes: Sequence[str]) -> Fraction:
    return rounded(sum(net * Fraction(code) / 100 for code in codes), 0)


def _taxes(given: Given) -> dict[str, Tax]:
    if not given.has("taxes"):
        return {}
    found = ((one.text("code"), one.decimal("rate")) for one in given.each("taxes"))
    return {code: Tax(code, code, rate) for code, rate in found}


def _tax(rate: str) -> Tax:
    return Tax(rate, rate, Decimal(rate))


def id_of(text: str) -> UUID:
    """Return the UUID of a text that names something."""
    return uuid5(NAMESPACE_OID, text)
