"""What the adapters of prices share: reading tiers, and amounts by unit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from services.rating.domain.price import Tier
from tests.vectors.given import Given

ZERO = Decimal(0)


def tiers_of(given: Given) -> tuple[Tier, ...]:
    """Read the tiers of a price; an amount that is not there is nothing."""
    return tuple(
        Tier(
            up_to=tier.find_decimal("up_to"),
            unit_amount=tier.find_decimal("unit_amount") or ZERO,
            flat_amount=tier.find_decimal("flat_amount") or ZERO,
        )
        for tier in given.each("tiers")
    )


def per_unit(amount: Decimal, units: Decimal) -> Fraction:
    """Return what a unit costs on average, exactly; nothing where there are none."""
    return Fraction(amount) / Fraction(units) if units > 0 else Fraction(0)


def total_of(amounts: Sequence[Decimal]) -> Decimal:
    """Return the sum of the amounts."""
    return sum(amounts, ZERO)
