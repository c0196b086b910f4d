"""Prices of Meteroid, which are tables of first units, and its discounts."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from libs.money import Money, round_minor, to_decimal
from services.invoicing.domain.discounts import (
    AmountOff,
    Discount,
    PercentOff,
    discount_minor,
    spread_minor,
)
from services.rating.domain.price import (
    GraduatedPrice,
    Price,
    StandardPrice,
    Tier,
    VolumePrice,
    amount_of,
    rate,
)
from tests.vectors.adapters.prices import ZERO
from tests.vectors.given import Given

CURRENCY = "USD"


def price_units(given: Given) -> dict[str, Any]:
    """Price units and round to cents."""
    amount = amount_of(rate(_price(given.inner("price")), given.decimal("units")))
    return {"amount": to_decimal(Money(CURRENCY, round_minor(amount, CURRENCY)))}


def discount(given: Given) -> dict[str, Any]:
    """Take coupons off of a subtotal, percentages first; or spread a discount over lines."""
    if given.has("coupons"):
        coupons = [_coupon(coupon) for coupon in given.each("coupons")]
        coupons.sort(key=lambda coupon: isinstance(coupon, AmountOff))
        return {"discount_cents": discount_minor(int(given.text("subtotal_cents")), coupons)}
    lines = [int(line) for line in given.value("line_cents")]
    parts = spread_minor(int(given.text("discount_cents")), lines)
    return {"taxable_cents": [line - part for line, part in zip(lines, parts, strict=True)]}


def _coupon(coupon: Given) -> Discount:
    match coupon.text("type"):
        case "percentage":
            return PercentOff(coupon.decimal("percent"))
        case "fixed":
            return AmountOff(int(coupon.text("amount_cents")))
        case other:
            raise ValueError(f"the coupon {other} is unknown")


def _price(price: Given) -> Price:
    match price.text("type"):
        case "per_unit":
            return StandardPrice(price.decimal("unit_amount"))
        case "tiered":
            return GraduatedPrice(_tiers(price.each("rows"), last_of_tier=Decimal(0)))
        case "volume":
            return VolumePrice(_tiers(price.each("rows"), last_of_tier=Decimal(1)))
        case other:
            raise ValueError(f"the price {other} is unknown")


def _tiers(rows: Sequence[Given], *, last_of_tier: Decimal) -> tuple[Tier, ...]:
    """Read rows into tiers that end `last_of_tier` below the first unit of the next."""
    first_units = [row.decimal("first_unit") for row in rows]
    return tuple(
        Tier(
            up_to=None if following is None else following - last_of_tier,
            unit_amount=row.decimal("unit_amount"),
            flat_amount=row.find_decimal("flat_fee") or ZERO,
            flat_cap=row.find_decimal("flat_cap"),
        )
        for row, following in zip_longest(rows, first_units[1:])
    )
