"""The period of seats: how many days of it a unit that comes is paid for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.rating.domain.day_counts import days_between
from services.rating.domain.event import Moment, instant_of, micros
from services.rating.domain.instant_fee import NO_EVENT
from services.rating.domain.period import BillingPeriod

INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class SeatPeriod:
    """A usage period from `start`, in microseconds since 1970 in UTC, to the `last` instant.

    That is the last one of the whole week or month, even if the subscription ends before: what is
    paid in advance is paid for whatever comes. `held_codes` are those of meters whose carried
    units another plan has charged until then.
    """

    start: int
    last: datetime
    of_days: int
    zone: ZoneInfo
    held_codes: frozenset[str] = frozenset()

    @property
    def opening(self) -> Moment:
        """The moment of what the period carries: before all of its events."""
        return Moment(self.start, NO_EVENT, 0, 0)

    def days_left(self, moment: Moment) -> int:
        """Return the blocks of 24 hours that have started between `moment` and the end."""
        return min(days_between(instant_of(moment.time), self.last, self.zone), self.of_days)


def seat_period_of(period: BillingPeriod) -> SeatPeriod:
    """Return a usage period as that of seats."""
    zone = ZoneInfo(period.time_zone)
    last = period.whole.instants(zone).end - INSTANT
    start = micros(period.usage.start)
    return SeatPeriod(start, last, period.whole.days, zone, period.held_codes)
