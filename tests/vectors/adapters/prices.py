"""What the adapters of prices share: reading tiers, and amounts by unit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from services.rating.domain.dynamic import DynamicPrice
from services.rating.domain.instant import InstantPrice
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.price import GraduatedPrice, PackagePrice, StandardPrice, Tier
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


def percentage_of(charge: Given) -> PercentagePrice:
    """Read a percentage of what events report."""
    return PercentagePrice(
        rate_percent=charge.decimal("rate_percent"),
        fixed_amount=charge.decimal("fixed_amount"),
        free_events=int(charge.find_decimal("free_units_per_events") or 0),
        free_amount=charge.find_decimal("free_units_per_total_aggregation") or ZERO,
        event_minimum=charge.find_decimal("per_transaction_min_amount"),
        event_maximum=charge.find_decimal("per_transaction_max_amount"),
    )


def model_of(charge: Given) -> InstantPrice:
    """Read the price of a charge whose events can be priced as they come."""
    match charge.text("model"):
        case "standard":
            return StandardPrice(charge.decimal("unit_amount"))
        case "graduated":
            return GraduatedPrice(tiers_of(charge))
        case "package":
            return PackagePrice(
                amount=charge.decimal("package_amount"),
                package_size=charge.decimal("package_size"),
                free_units=charge.decimal("free_units"),
            )
        case "percentage":
            return percentage_of(charge)
        case "dynamic":
            return DynamicPrice()
        case model:
            raise ValueError(f"the model {model} is unknown")


def per_unit(amount: Decimal, units: Decimal) -> Fraction:
    """Return what a unit costs on average, exactly; nothing where there are none."""
    return Fraction(amount) / Fraction(units) if units > 0 else Fraction(0)


def total_of(amounts: Sequence[Decimal]) -> Decimal:
    """Return the sum of the amounts."""
    return sum(amounts, ZERO)
