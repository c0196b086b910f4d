"""Stretches of time: instants and local days, always half-open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Period:
    """The instants from `start` (included) to `end` (excluded), both in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        assert self.start.tzinfo is UTC and self.end.tzinfo is UTC
        assert self.start <= self.end

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def overlaps(self, other: Period) -> bool:
        """Tell whether some instant lies in both."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class DayPeriod:
    """The local days from `first_day` (included) to `end_day` (excluded)."""

    first_day: date
    end_day: date

    @property
    def days(self) -> int:
        return (self.end_day - self.first_day).days

    def instants(self, zone: ZoneInfo) -> Period:
        """Return the instants of these days in `zone`."""
        return Period(local_midnight(self.first_day, zone), local_midnight(self.end_day, zone))


@lru_cache(maxsize=4_096)  # The same few bounds are those of many subscriptions.
def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first instant of `day` in `zone`, in UTC.

    Where the clock jumps over midnight, that is the first instant after the jump; where midnight
    comes twice, the earlier one.
    """
    naive = datetime.combine(day, time.min)
    instant = naive.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).date() < day:  # In a gap that began before: the day starts late.
        instant = naive.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return instant


def local_day(instant: datetime, zone: ZoneInfo) -> date:
    """Return the day in `zone` that holds `instant`: from its midnight to the next one's.

    Where the clock goes back over midnight, the day that has begun goes on.
    """
    day = instant.astimezone(zone).date()
    following = day + timedelta(days=1) if day < date.max else day
    return following if day < following and local_midnight(following, zone) <= instant else day
