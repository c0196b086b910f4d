"""Dynamic prices: each event brings its own amount.

Sum of the amounts of the events x multiplier; nothing where their units sum to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from libs.errors import FieldInvalid
from services.rating.domain.price import ZERO, Row, negative_faults, row_of


@dataclass(frozen=True, slots=True)
class DynamicPrice:
    """What the events say, times `multiplier`."""

    multiplier: Decimal = Decimal(1)


def rate_dynamic(price: DynamicPrice, units: Decimal, amount: Decimal) -> tuple[Row, ...]:
    """Price events of `units` in sum that bring `amount` in sum, in currency units.

    The row holds the amount in `units`: 10 at 1.5 give 15.
    """
    brought = max(amount, ZERO) if units > 0 else ZERO
    return (row_of("dynamic", brought, price.multiplier),)


def dynamic_faults(price: DynamicPrice, path: str) -> list[FieldInvalid]:
    """Return every rule that the price breaks: the multiplier is not below zero."""
    return negative_faults(price.multiplier, f"{path}.multiplier")
