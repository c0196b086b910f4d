"""High-water marks: usage that is paid as it comes is paid once, however often it goes and comes.

A level that rises to 10, falls to 4 and rises to 12 costs 10 and then 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from libs.money import EXACT
from services.rating.domain.proration import prorate

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class HighWater:
    """The level of a period so far, and the highest it has been; never below zero."""

    level: Decimal = ZERO
    highest: Decimal = ZERO

    def after(self, change: Decimal) -> HighWater:
        """Return where the level stands after `change`."""
        level = EXACT.add(self.level, change)
        return HighWater(level, max(level, self.highest))

    def rise(self, change: Decimal) -> Decimal:
        """Return by how much `change` lifts the highest level: 10 at 4 of 10 are 4."""
        return EXACT.subtract(self.after(change).highest, self.highest)


def prorated_rise(rise: Decimal, *, days: int, of_days: int) -> Decimal:
    """Return a rise weighed by `days` left of the period, started blocks of 24 hours.

    12.4 for 2 of 31 days are 0.8; rounded up to 5 places.
    """
    return prorate(EXACT.multiply(rise, Decimal(days)), of_days)


def instant_usage(
    total: Decimal, level: Decimal, risen: Decimal, *, days: int, of_days: int
) -> Decimal:
    """Return the usage so far of a recurring meter that is paid as it comes, prorated.

    Of the `total`, what is not the `level` that came in this period was carried into it and counts
    for all `days`; `risen` is the sum of the prorated rises of the period. A total of 9 with a
    level of 4, which has cost 3.8, is 5 + 3.8 in a whole period. A level below zero gives nothing
    back, and neither does it count as carried.
    """
    carried = EXACT.subtract(total, max(level, ZERO))
    return EXACT.add(prorated_rise(carried, days=days, of_days=of_days), risen)
