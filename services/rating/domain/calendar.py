"""The billing calendar: local days, weeks from Monday, months, and what of them is billed.

Two windows a period: fees count whole local days, usage the exact instants from the start to the
end of the subscription.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from libs.period import DayPeriod, Period, local_day, local_midnight
from services.rating.domain.plan import IntervalUnit

DAY = timedelta(days=1)
LAST_YEAR = 9998  # Dates end with the year 9999.


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a subscription is billed for at once.

    `whole` is the week or month, `fee_days` its days from the first to the last one billed, and
    `usage` the instants in which events count.
    """

    whole: DayPeriod
    fee_days: DayPeriod
    usage: Period


def whole_period(unit: IntervalUnit, day: date) -> DayPeriod:
    """Return the week (from Monday) or month that holds `day`."""
    if unit is IntervalUnit.WEEK:
        monday = day - timedelta(days=day.weekday())
        return DayPeriod(monday, monday + timedelta(days=7))
    first = day.replace(day=1)
    return DayPeriod(first, (first + timedelta(days=31)).replace(day=1))


def stretches(
    unit: IntervalUnit, zone: ZoneInfo, start: datetime, end: datetime | None
) -> Iterator[Stretch]:
    """Give the stretches of a subscription from `start` to before `end`, in order.

    The local day of `end` is billed too, even if the subscription ends as it starts, but not if
    `end` is the first instant of a later week or month. Without an end they go on to the year
    9998. A monthly subscription from 15 January 10:00 to 20 February gives 17 days of January and
    20 of February.
    """
    first_day = local_day(start, zone)
    whole = whole_period(unit, first_day)
    while whole.first_day.year <= LAST_YEAR:
        bounds = whole.instants(zone)
        if end is not None and end <= bounds.start and first_day < whole.first_day:
            return
        usage = Period(max(start, bounds.start), min(end or bounds.end, bounds.end))
        last = whole.end_day
        if end is not None and end < bounds.end:
            last = local_day(end, zone) + DAY
        yield Stretch(whole, DayPeriod(max(first_day, whole.first_day), last), usage)
        whole = whole_period(unit, whole.end_day)


def stretches_after(
    unit: IntervalUnit,
    zone: ZoneInfo,
    *,
    start: datetime,
    end: datetime | None,
    after: date | None,
) -> Iterator[Stretch]:
    """Give the stretches whose week or month begins after the day `after`; None: all."""
    if after is None:
        yield from stretches(unit, zone, start, end)
        return
    following = local_midnight(whole_period(unit, after).end_day, zone)
    if end is None or following < end:
        yield from stretches(unit, zone, max(start, following), end)


def through(ahead: Iterator[Stretch], now: datetime) -> Iterator[Stretch]:
    """Give the stretches up to and including the first that starts after `now`.

    So what follows the present one is known ahead: its base fee may be billed with the present
    one's usage.
    """
    for stretch in ahead:
        yield stretch
        if stretch.usage.start > now:
            return
