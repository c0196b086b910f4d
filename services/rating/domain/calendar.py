"""The billing calendar: intervals of local days, and what of them is billed.

Bounds are fence posts, each counted from the first one: one opens a period, and a short month
takes its last day without dragging those after it.

Two windows a period: fees count whole local days, usage the exact instants from the start to the
end of the subscription.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from libs.anniversary import MONTHS, anniversary, anniversary_period
from libs.period import DayPeriod, Period, local_day, local_midnight
from services.rating.domain.plan import Interval, IntervalUnit

DAY = timedelta(days=1)
LAST_YEAR = 9998  # Dates end with the year 9999.
UNIT_DAYS = {IntervalUnit.DAY: 1, IntervalUnit.WEEK: 7}
UNIT_MONTHS = {
    IntervalUnit.MONTH: 1,
    IntervalUnit.QUARTER: 3,
    IntervalUnit.HALF_YEAR: 6,
    IntervalUnit.YEAR: MONTHS,
}


class BillingTime(StrEnum):
    """Where periods begin; values are those of the contract, in lower case."""

    CALENDAR = "calendar"  # With weeks on Mondays, with months, quarters and years on the first.
    ANNIVERSARY = "anniversary"  # With the anchor day.


@dataclass(frozen=True, slots=True)
class Calendar:
    """The periods of an interval in a zone.

    By the calendar, those of several units are counted from the unit that holds `anchor_day`, and
    days from that day itself.
    """

    interval: Interval
    zone: ZoneInfo
    billing_time: BillingTime
    anchor_day: date

    @property
    def first_post(self) -> date:
        """The fence post from which all are counted."""
        unit, day = self.interval.unit, self.anchor_day
        if self.billing_time is BillingTime.ANNIVERSARY or unit is IntervalUnit.DAY:
            return day
        if unit is IntervalUnit.WEEK:
            return day - timedelta(days=day.weekday())
        return date(day.year, day.month - (day.month - 1) % UNIT_MONTHS[unit], 1)

    def post(self, number: int) -> date:
        """Return the fence post that opens the period of that number; 0 for the first post."""
        unit, count = self.interval.unit, self.interval.count * number
        if unit in UNIT_DAYS:
            return self.first_post + timedelta(days=count * UNIT_DAYS[unit])
        return anniversary(self.first_post, count * UNIT_MONTHS[unit])

    def whole(self, day: date) -> DayPeriod:
        """Return the period that holds `day`, before the anchor day, too."""
        unit, count = self.interval.unit, self.interval.count
        if unit in UNIT_MONTHS:
            return anniversary_period(self.first_post, count * UNIT_MONTHS[unit], day)
        number = (day - self.first_post).days // (count * UNIT_DAYS[unit])
        return DayPeriod(self.post(number), self.post(number + 1))


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a subscription is billed for at once.

    `whole` is the period, `fee_days` its days from the first to the last one billed, and
    `usage` the instants in which events count. They lie on days before `usage_end_day`, which may
    be behind the fee days: a day on which the plan changes is paid for by the new one. On `paused`
    days, of the fee days, nothing is billed.
    """

    whole: DayPeriod
    fee_days: DayPeriod
    usage: Period
    usage_end_day: date | None = None  # None: that of the fee days.
    paused: tuple[DayPeriod, ...] = ()


def stretches(calendar: Calendar, start: datetime, end: datetime | None) -> Iterator[Stretch]:
    """Give the stretches of a subscription from `start` to before `end`, in order.

    The local day of `end` is billed too, even if the subscription ends as it starts, but not if
    `end` is the first instant of a later period. Without an end they go on to the year
    9998. A day that the zone skips is no period by itself. A monthly subscription from 15 January
    10:00 to 20 February gives 17 days of January and 20 of February.
    """
    zone = calendar.zone
    first_day = local_day(start, zone)
    whole = calendar.whole(first_day)
    while whole.first_day.year <= LAST_YEAR:
        bounds = whole.instants(zone)
        if end is not None and end <= bounds.start and first_day < whole.first_day:
            return
        if bounds.start < bounds.end:
            yield stretch_of(whole, zone, start=start, end=end)
        whole = calendar.whole(whole.end_day)


def stretch_of(
    whole: DayPeriod, zone: ZoneInfo, *, start: datetime, end: datetime | None
) -> Stretch:
    """Return what of the period `whole` is billed of a subscription from `start` to before `end`.

    Where the subscription starts after the period, that is nothing, at its start. One that ends in
    a period is billed the local day of its end, at the first instant of the period, too.
    """
    bounds = whole.instants(zone)
    first, last = max(local_day(start, zone), whole.first_day), whole.end_day
    usage_end = bounds.end
    if end is not None and end < bounds.end:
        last = local_day(end, zone) + DAY
        usage_end = end
    usage = Period(max(start, bounds.start), max(start, usage_end))
    return Stretch(whole, DayPeriod(first, max(first, last)), usage)


def stretches_after(
    calendar: Calendar,
    *,
    start: datetime,
    end: datetime | None,
    after: date | None,
) -> Iterator[Stretch]:
    """Give the stretches whose period begins after the day `after`; None: all."""
    if after is None:
        yield from stretches(calendar, start, end)
        return
    following = local_midnight(calendar.whole(after).end_day, calendar.zone)
    if end is None or following < end:
        yield from stretches(calendar, max(start, following), end)


def through(ahead: Iterator[Stretch], now: datetime) -> Iterator[Stretch]:
    """Give the stretches up to and including the first that starts after `now`.

    So what follows the present one is known ahead: its base fee may be billed with the present
    one's usage.
    """
    for stretch in ahead:
        yield stretch
        if stretch.usage.start > now:
            return
