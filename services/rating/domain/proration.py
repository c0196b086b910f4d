"""Proration: what a recurring meter holds, weighed by the days of a period in which it is there.

Weights are days over the days of the whole period. They are summed as days, and divided once, at
the end: 1.4 for 4 of 28 days are 0.2, and not a last digit more. The quotient is rounded up to 5
places; the meter's own rounding comes after that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from libs.period import DayPeriod, Period, local_day
from services.rating.domain.day_counts import days_between, unpaused_days
from services.rating.domain.rounding import Rounding, RoundingMode, round_units

ZERO = Decimal(0)
ROUNDING = Rounding(RoundingMode.CEIL, places=5)
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class BilledDays:
    """The local days that are billed of a period with `of_days` days.

    What was there before the first of them counts for `held` days: blocks of 24 hours that have
    started, of which a period from 10:00 to 9:00 has one fewer than days.
    """

    days: DayPeriod
    held: int
    of_days: int
    paused: tuple[DayPeriod, ...] = ()  # Of the days, those that are not billed.

    def left(self, day: date) -> int:
        """Return the days from `day` to the last one, both included.

        All of them for a day before, 0 for one behind the last.
        """
        first_day = max(day, self.days.first_day)
        return unpaused_days(first_day, self.days.end_day, self.paused)

    def weight(self, day: date) -> int:
        """Return for how many days something counts that came on `day`."""
        return self.held if day < self.days.first_day else self.left(day)


@dataclass(frozen=True, slots=True)
class Prorated:
    """Usage weighed by days, rounded up to 5 places; and without weights, as it is shown."""

    units: Decimal
    full_units: Decimal


@dataclass(frozen=True, slots=True)
class Entry:
    """Units that come at once, or go if below zero, and the share of the period they count for."""

    units: Decimal
    weight: Fraction

    @property
    def prorated(self) -> Fraction:
        """The units times their weight."""
        return Fraction(self.units) * self.weight


def billed_days(
    usage: Period,
    zone: ZoneInfo,
    *,
    of_days: int,
    fee_days: DayPeriod | None = None,
    paused: tuple[DayPeriod, ...] = (),
) -> BilledDays:
    """Return the days billed of a period in which events count during `usage`, as base fees are.

    Without `fee_days` they are all that `usage` touches. From 18 October 05:20 to the end of the
    month they are 14 of 31. A subscription that ends at the first instant of the 7th is billed
    that day, too: `fee_days` then go on behind `usage`. Days that are `paused` are not billed.
    """
    if fee_days is None:
        last = local_day(max(usage.start, usage.end - INSTANT), zone)
        fee_days = DayPeriod(local_day(usage.start, zone), last + DAY)
    if fee_days.days == 0:
        return BilledDays(fee_days, 0, of_days)
    last_instant = min(usage.end, fee_days.instants(zone).end - INSTANT)
    held = days_between(usage.start, last_instant, zone) - sum(days.days for days in paused)
    return BilledDays(fee_days, max(held, 0), of_days, paused)


def prorate(weighted: Decimal | Fraction | int, of_days: int) -> Decimal:
    """Return units x days over the days of the period, rounded up to 5 places.

    24.8 unit-days of 31 days are 0.8; 10 are 0.32259.
    """
    return round_units(Fraction(weighted) / of_days, ROUNDING)
