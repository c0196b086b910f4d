"""Graduated percentages: each part of an amount of money at the rate of its tier.

Sum over the tiers reached: flat_amount + amount in the tier x rate_percent / 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from libs.errors import FieldInvalid
from services.rating.domain.price import (
    TIERS_MAX,
    GraduatedPrice,
    Row,
    Tier,
    band_faults,
    factor_of,
    negative_faults,
    rate,
)


@dataclass(frozen=True, slots=True)
class RateTier:
    """An amount above the tier before it, up to and including `up_to`; None: open."""

    up_to: Decimal | None
    rate_percent: Decimal
    flat_amount: Decimal


@dataclass(frozen=True, slots=True)
class GraduatedPercentagePrice:
    """Every unit of money at the rate of its tier, and the flat amount of each tier reached."""

    tiers: tuple[RateTier, ...]


def rate_graduated_percentage(price: GraduatedPercentagePrice, units: Decimal) -> tuple[Row, ...]:
    """Price `units` of money. 150 at 2 % up to 100 and 1 % above cost 2 + 0.50."""
    tiers = (Tier(t.up_to, factor_of(t.rate_percent), t.flat_amount) for t in price.tiers)
    return rate(GraduatedPrice(tuple(tiers)), units)


def graduated_percentage_faults(price: GraduatedPercentagePrice, path: str) -> list[FieldInvalid]:
    """Return every rule that the price breaks: those of bands, and nothing is below zero."""
    faults = band_faults([tier.up_to for tier in price.tiers], f"{path}.tiers")
    for place, tier in enumerate(price.tiers[:TIERS_MAX]):
        for name in ("rate_percent", "flat_amount"):
            faults += negative_faults(getattr(tier, name), f"{path}.tiers[{place}].{name}")
    return faults
