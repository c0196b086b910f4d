"""The calendar against an oracle that walks through local time day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.calendar import BillingTime, Calendar, Stretch, stretches
from services.rating.domain.plan import Interval, IntervalUnit

zones = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Melbourne",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "America/Sao_Paulo",  # Its summer time began at midnight until 2018.
        "Pacific/Apia",  # It has no 30 December 2011.
        "Africa/Casablanca",
    ]
).map(ZoneInfo)
units = st.sampled_from([IntervalUnit.WEEK, IntervalUnit.MONTH])
starts = st.datetimes(min_value=datetime(2009, 1, 1), max_value=datetime(2025, 1, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)
lengths = st.integers(0, 60 * 24 * 100).map(lambda minutes: timedelta(minutes=minutes))


def begins(unit: IntervalUnit, day: date) -> bool:
    """Tell whether a week or month begins on `day`."""
    return day.weekday() == 0 if unit is IntervalUnit.WEEK else day.day == 1


def billed(unit: IntervalUnit, zone: ZoneInfo, start: datetime, length: timedelta) -> list[Stretch]:
    calendar = Calendar(Interval(unit), zone, BillingTime.CALENDAR, start.date())
    return list(stretches(calendar, start, start + length))


@given(units, zones, starts, lengths)
def test_usage_windows_follow_each_other_from_start_to_end(
    unit: IntervalUnit, zone: ZoneInfo, start: datetime, length: timedelta
) -> None:
    found = billed(unit, zone, start, length)
    assert found[0].usage.start == start
    assert found[-1].usage.end == start + length
    assert all(one.usage.end == other.usage.start for one, other in pairwise(found))
    assert all(one.fee_days.end_day == other.fee_days.first_day for one, other in pairwise(found))


@given(units, zones, starts, lengths)
def test_fee_days_are_those_that_a_walk_through_local_time_meets(
    unit: IntervalUnit, zone: ZoneInfo, start: datetime, length: timedelta
) -> None:
    end = start + length
    met = {(start + timedelta(hours=hour)).astimezone(zone).date() for hour in hours(length)}
    met.add(end.astimezone(zone).date())
    found = billed(unit, zone, start, length)
    days = {
        each.fee_days.first_day + timedelta(days=place)
        for each in found
        for place in range(each.fee_days.days)
    }
    last = max(met)
    if last not in days:  # It ends with the last instant of a whole week or month.
        assert begins(unit, last) and length
        assert (end - timedelta(microseconds=1)).astimezone(zone).date() < last
        met.discard(last)
    missing = {date(2011, 12, 30)} if zone.key == "Pacific/Apia" else set()
    assert days - missing == met - missing


def hours(length: timedelta) -> range:
    return range(int(length / timedelta(hours=1)) + 1)


@given(units, zones, starts, lengths)
def test_every_whole_begins_where_it_should_and_holds_its_fee_days(
    unit: IntervalUnit, zone: ZoneInfo, start: datetime, length: timedelta
) -> None:
    for each in billed(unit, zone, start, length):
        assert begins(unit, each.whole.first_day) and begins(unit, each.whole.end_day)
        walk = (each.whole.first_day + timedelta(days=n) for n in range(1, each.whole.days))
        assert not any(begins(unit, day) for day in walk)
        assert each.whole.first_day <= each.fee_days.first_day
        assert each.fee_days.end_day <= each.whole.end_day
