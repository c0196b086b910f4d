"""Prices of Meteroid: tables of first units."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from libs.money import Money, round_minor, to_decimal
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
