"""The calendar against an oracle that walks through local time day by day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.period import local_day, local_midnight
from services.rating.domain.calendar import BillingTime, Calendar, Stretch, stretches
from services.rating.domain.monthly_usage import months_of
from services.rating.domain.plan import Interval, IntervalUnit

DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)
MONTHS = {
    IntervalUnit.MONTH: 1,
    IntervalUnit.QUARTER: 3,
    IntervalUnit.HALF_YEAR: 6,
    IntervalUnit.YEAR: 12,
}
ALL_ZONES = sorted(available_timezones() - {"localtime", "Factory"})
# Whose midnight is missing or comes twice on some days, or that skip a whole day.
ODD_ZONES = [
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
SKIPPED = {"Pacific/Apia": date(2011, 12, 30)}
TEN_YEARS_M = 10 * 366 * 24 * 60

zones = st.one_of(st.sampled_from(ODD_ZONES), st.sampled_from(ALL_ZONES)).map(ZoneInfo)
units = st.sampled_from(IntervalUnit)
billing_times = st.sampled_from(BillingTime)
counts = st.one_of(st.just(1), st.integers(1, 40))
starts = st.datetimes(min_value=datetime(2005, 1, 1), max_value=datetime(2027, 1, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)
days = st.dates(date(2004, 1, 1), date(2028, 12, 31))
month_ends = days.filter(lambda day: (day + 3 * DAY).month != day.month)  # Those that clamp.
anchors = st.one_of(days, month_ends)
lengths = st.integers(0, TEN_YEARS_M).map(lambda minutes: timedelta(minutes=minutes))
calendars = st.builds(Calendar, st.builds(Interval, units, counts), zones, billing_times, anchors)


def opens(calendar: Calendar, day: date) -> bool:
    """Tell whether `day` is a fence post, by looking at nothing but the day and the anchor."""
    unit, count = calendar.interval.unit, calendar.interval.count
    anchor, by_calendar = calendar.anchor_day, calendar.billing_time is BillingTime.CALENDAR
    if unit is IntervalUnit.DAY:
        return (day - anchor).days % count == 0
    if unit is IntervalUnit.WEEK:
        monday = anchor
        while by_calendar and monday.isoweekday() != 1:
            monday -= DAY
        return (day - monday).days % (7 * count) == 0
    months = MONTHS[unit]
    passed = 12 * (day.year - anchor.year) + day.month - anchor.month
    if by_calendar:
        return day.day == 1 and (passed + (anchor.month - 1) % months) % (count * months) == 0
    is_last = (day + DAY).month != day.month
    on_the_day = day.day == anchor.day or is_last and day.day < anchor.day
    return on_the_day and passed % (count * months) == 0


def days_of(found: list[Stretch]) -> list[date]:
    return [each.fee_days.first_day + n * DAY for each in found for n in range(each.fee_days.days)]


def skipped(calendar: Calendar) -> set[date]:
    """Return the day that the zone does not have, where it would be a period by itself."""
    alone = calendar.interval == Interval(IntervalUnit.DAY)
    return {SKIPPED[calendar.zone.key]} if alone and calendar.zone.key in SKIPPED else set()


APIA_DAILY = Calendar(
    Interval(IntervalUnit.DAY), ZoneInfo("Pacific/Apia"), BillingTime.CALENDAR, date(2011, 1, 1)
)


@settings(max_examples=60)
@given(calendars, starts, lengths)
@example(APIA_DAILY, datetime(2011, 12, 28, tzinfo=UTC), 5 * DAY)
def test_periods_tile_the_life_of_a_subscription(
    calendar: Calendar, start: datetime, length: timedelta
) -> None:
    found = list(stretches(calendar, start, start + length))
    assert found[0].usage.start == start
    assert found[-1].usage.end == start + length
    for one, other in pairwise(found):
        assert one.usage.end == other.usage.start
        assert other.usage.start < other.usage.end or other is found[-1]
    first, last = (
        found[0].fee_days.first_day,
        found[-1].fee_days.end_day,
    )
    walked = {first + n * DAY for n in range((last - first).days)} - skipped(calendar)
    assert days_of(found) == sorted(walked)


@settings(max_examples=60)
@given(calendars, starts, lengths)
def test_every_period_begins_on_a_fence_post_and_has_none_inside(
    calendar: Calendar, start: datetime, length: timedelta
) -> None:
    for each in stretches(calendar, start, start + length):
        assert each.whole.first_day <= each.fee_days.first_day
        assert each.fee_days.end_day <= each.whole.end_day
        assert opens(calendar, each.whole.first_day) and opens(calendar, each.whole.end_day)
        inside = (each.whole.first_day + n * DAY for n in range(1, each.whole.days))
        assert not any(opens(calendar, day) for day in inside)


@settings(max_examples=60)
@given(calendars, starts, lengths)
def test_usage_windows_meet_at_the_first_instant_of_a_local_day(
    calendar: Calendar, start: datetime, length: timedelta
) -> None:
    for each in list(stretches(calendar, start, start + length))[1:]:
        post = each.usage.start
        assert post.astimezone(calendar.zone).date() >= each.whole.first_day
        assert (post - INSTANT).astimezone(calendar.zone).date() < each.whole.first_day


@settings(max_examples=60)
@given(calendars, starts, st.integers(0, 60 * 24 * 70).map(lambda n: timedelta(minutes=n)))
def test_fee_days_are_those_that_a_walk_through_local_time_meets(
    calendar: Calendar, start: datetime, length: timedelta
) -> None:
    zone, end = calendar.zone, start + length
    hours = range(int(length / timedelta(hours=1)) + 1)
    met = {(start + timedelta(hours=hour)).astimezone(zone).date() for hour in hours}
    met.add(end.astimezone(zone).date())
    billed = set(days_of(list(stretches(calendar, start, end))))
    last = max(met)
    if last not in billed:  # It ends with the last instant of a whole period.
        assert opens(calendar, last) and length
        assert (end - INSTANT).astimezone(zone).date() < last
        met.discard(last)
    nowhere = {SKIPPED[zone.key]} if zone.key in SKIPPED else set()
    assert billed - nowhere == met - nowhere


@settings(max_examples=60)
@given(calendars, starts, st.dates(date(1990, 1, 1), date(2045, 1, 1)))
def test_periods_are_the_same_wherever_one_begins_to_count(
    calendar: Calendar, start: datetime, day: date
) -> None:
    whole = calendar.whole(day)
    assert whole.first_day <= day < whole.end_day
    assert calendar.whole(whole.first_day) == whole
    assert calendar.whole(whole.end_day).first_day == whole.end_day
    assert calendar.whole(whole.first_day - DAY).end_day == whole.first_day


def test_ten_years_of_every_zone_are_tiled() -> None:
    start, end = datetime(2016, 1, 31, 12, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC)
    tenfold = Interval(IntervalUnit.WEEK, 10)  # Begins in all seasons.
    for name in ALL_ZONES:
        zone = ZoneInfo(name)
        calendar = Calendar(tenfold, zone, BillingTime.ANNIVERSARY, local_day(start, zone))
        found = list(stretches(calendar, start, end))
        assert (len(found), found[-1].usage.end) == (52, end), name
        for one, other in pairwise(found):
            post = other.usage.start
            assert one.usage.end == post, name
            assert post.astimezone(zone).date() == other.whole.first_day, name
            assert (post - INSTANT).astimezone(zone).date() == other.whole.first_day - DAY, name


@settings(max_examples=60)
@given(
    calendars.filter(lambda one: one.interval.unit in MONTHS),
    starts,
    st.one_of(lengths, st.integers(0, 1_000)),
)
def test_months_of_long_periods_are_those_of_a_monthly_subscription(
    calendar: Calendar, start: datetime, length: timedelta | int
) -> None:
    monthly = replace(calendar, interval=Interval(IntervalUnit.MONTH))
    if isinstance(length, int):  # It ends with a day, perhaps that of a fence post.
        end = local_midnight(local_day(start, calendar.zone) + (length + 1) * DAY, calendar.zone)
    else:
        end = start + length
    parts = [
        month for each in stretches(calendar, start, end) for month in months_of(each, monthly)
    ]
    assert all(each.usage_end_day == each.fee_days.end_day for each in parts)
    alone = [replace(each, usage_end_day=None) for each in parts]
    assert alone == list(stretches(monthly, start, end))
