"""Weeks, months, and what of them a subscription is billed for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.rating.domain.calendar import (
    BillingTime,
    Calendar,
    stretches,
    stretches_after,
    through,
)
from services.rating.domain.period import PeriodKind, planned_periods
from services.rating.domain.plan import Charge, Interval, IntervalUnit, PlanVersion, Timing
from services.rating.domain.price import StandardPrice

DAY, WEEK, MONTH = IntervalUnit.DAY, IntervalUnit.WEEK, IntervalUnit.MONTH
QUARTER, HALF_YEAR, YEAR = IntervalUnit.QUARTER, IntervalUnit.HALF_YEAR, IntervalUnit.YEAR
UTC_ZONE = ZoneInfo("UTC")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def by_calendar(unit: IntervalUnit, zone: ZoneInfo = UTC_ZONE) -> Calendar:
    return Calendar(Interval(unit), zone, BillingTime.CALENDAR, date(2024, 1, 31))


def fee_days(
    unit: IntervalUnit, start: str, end: str | None, *, zone: str = "UTC"
) -> list[tuple[str, str]]:
    calendar = by_calendar(unit, ZoneInfo(zone))
    found = stretches(calendar, instant(start), end and instant(end) or None)
    days = [each.fee_days for each in islice(found, 3)]
    return [(f"{each.first_day:%m-%d}", f"{each.end_day:%m-%d}") for each in days]


@pytest.mark.parametrize(
    ("unit", "start", "end", "expected"),
    [
        (MONTH, "2024-01-15T10:00", "2024-03-01T00:00", [("01-15", "02-01"), ("02-01", "03-01")]),
        (MONTH, "2024-02-01T00:00", "2024-02-20T00:00", [("02-01", "02-21")]),
        (MONTH, "2024-02-01T00:00", "2024-03-01T00:00", [("02-01", "03-01")]),
        (MONTH, "2024-02-01T00:00", "2024-03-01T00:01", [("02-01", "03-01"), ("03-01", "03-02")]),
        (MONTH, "2024-02-08T00:00", "2024-02-08T00:00", [("02-08", "02-09")]),
        (MONTH, "2024-02-29T12:00", "2024-02-29T13:00", [("02-29", "03-01")]),
        (WEEK, "2024-05-15T10:00", "2024-05-27T00:00", [("05-15", "05-20"), ("05-20", "05-27")]),
        (WEEK, "2024-05-19T23:59", "2024-05-20T00:01", [("05-19", "05-20"), ("05-20", "05-21")]),
    ],
)  # fmt: skip
def test_first_and_last_periods_are_cut_to_local_days(
    unit: IntervalUnit, start: str, end: str | None, expected: list[tuple[str, str]]
) -> None:
    assert fee_days(unit, start, end) == expected


def test_usage_counts_from_the_exact_start_to_the_exact_end() -> None:
    start, end = instant("2024-01-15T10:00"), instant("2024-02-03T11:30")
    found = list(stretches(by_calendar(MONTH), start, end))
    assert [(each.usage.start, each.usage.end) for each in found] == [
        (start, instant("2024-02-01T00:00")),
        (instant("2024-02-01T00:00"), end),
    ]


def test_months_begin_at_local_midnight_through_a_change_of_clocks() -> None:
    melbourne = ZoneInfo("Australia/Melbourne")
    found = stretches(by_calendar(MONTH, melbourne), instant("2014-02-28T13:00"), None)
    starts = [each.usage.start for each in islice(found, 3)]
    assert starts == [
        instant("2014-02-28T13:00"),
        instant("2014-03-31T13:00"),
        instant("2014-04-30T14:00"),
    ]


def test_the_local_start_day_decides_how_much_of_the_week_is_left() -> None:
    start = "2023-06-16T05:00"
    assert fee_days(WEEK, start, None, zone="America/Denver")[0] == ("06-15", "06-19")
    assert fee_days(WEEK, start, None, zone="America/Halifax")[0] == ("06-16", "06-19")


def posts(
    unit: IntervalUnit,
    anchor: str,
    *,
    count: int = 1,
    billing_time: BillingTime = BillingTime.ANNIVERSARY,
) -> list[str]:
    calendar = Calendar(Interval(unit, count), UTC_ZONE, billing_time, date.fromisoformat(anchor))
    return [calendar.post(number).isoformat() for number in range(4)]


@pytest.mark.parametrize(
    ("unit", "count", "anchor", "expected"),
    [
        (MONTH, 1, "2023-01-31", ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"]),
        (MONTH, 1, "2024-01-29", ["2024-01-29", "2024-02-29", "2024-03-29", "2024-04-29"]),
        (MONTH, 2, "2023-12-30", ["2023-12-30", "2024-02-29", "2024-04-30", "2024-06-30"]),
        (MONTH, 13, "2023-01-31", ["2023-01-31", "2024-02-29", "2025-03-31", "2026-04-30"]),
        (QUARTER, 1, "2022-11-30", ["2022-11-30", "2023-02-28", "2023-05-30", "2023-08-30"]),
        (HALF_YEAR, 1, "2023-08-31", ["2023-08-31", "2024-02-29", "2024-08-31", "2025-02-28"]),
        (YEAR, 1, "2024-02-29", ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28"]),
        (YEAR, 4, "2024-02-29", ["2024-02-29", "2028-02-29", "2032-02-29", "2036-02-29"]),
        (WEEK, 1, "2024-02-22", ["2024-02-22", "2024-02-29", "2024-03-07", "2024-03-14"]),
        (WEEK, 2, "2024-02-22", ["2024-02-22", "2024-03-07", "2024-03-21", "2024-04-04"]),
        (DAY, 1, "2024-02-28", ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]),
        (DAY, 30, "2024-02-01", ["2024-02-01", "2024-03-02", "2024-04-01", "2024-05-01"]),
    ],
)  # fmt: skip
def test_anniversaries_are_counted_from_the_anchor_and_never_dragged(
    unit: IntervalUnit, count: int, anchor: str, expected: list[str]
) -> None:
    assert posts(unit, anchor, count=count) == expected


@pytest.mark.parametrize(
    ("unit", "count", "expected"),
    [
        (DAY, 2, ["2024-05-16", "2024-05-18", "2024-05-20", "2024-05-22"]),
        (WEEK, 1, ["2024-05-13", "2024-05-20", "2024-05-27", "2024-06-03"]),
        (WEEK, 3, ["2024-05-13", "2024-06-03", "2024-06-24", "2024-07-15"]),
        (MONTH, 1, ["2024-05-01", "2024-06-01", "2024-07-01", "2024-08-01"]),
        (QUARTER, 1, ["2024-04-01", "2024-07-01", "2024-10-01", "2025-01-01"]),
        (QUARTER, 3, ["2024-04-01", "2025-01-01", "2025-10-01", "2026-07-01"]),
        (HALF_YEAR, 1, ["2024-01-01", "2024-07-01", "2025-01-01", "2025-07-01"]),
        (YEAR, 1, ["2024-01-01", "2025-01-01", "2026-01-01", "2027-01-01"]),
    ],
)  # fmt: skip
def test_by_the_calendar_units_are_counted_from_the_one_that_holds_the_anchor(
    unit: IntervalUnit, count: int, expected: list[str]
) -> None:
    got = posts(unit, "2024-05-16", count=count, billing_time=BillingTime.CALENDAR)
    assert got == expected


@pytest.mark.parametrize(
    ("zone", "day", "first_instant"),
    [
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),  # Begins at 01:00.
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00"),  # 23:00 comes twice before it.
        ("Asia/Beirut", "2022-03-27", "2022-03-26T22:00"),  # Begins at 01:00.
        ("Africa/Cairo", "2023-04-28", "2023-04-27T22:00"),  # Begins at 01:00.
        ("Africa/Cairo", "2023-10-27", "2023-10-26T22:00"),  # 23:00 comes twice before it.
        ("Atlantic/Azores", "2023-10-29", "2023-10-29T00:00"),  # Its midnight comes twice.
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),  # After 29 December.
    ],
)
def test_a_day_without_a_midnight_begins_with_its_first_instant(
    zone: str, day: str, first_instant: str
) -> None:
    calendar = Calendar(
        Interval(DAY), ZoneInfo(zone), BillingTime.CALENDAR, date.fromisoformat(day)
    )
    start = instant(first_instant) - timedelta(days=2, hours=1)
    [found] = [
        each
        for each in islice(stretches(calendar, start, None), 5)
        if each.whole.first_day.isoformat() == day
    ]
    assert found.usage.start == instant(first_instant)


def test_a_day_that_a_zone_skips_is_not_billed_by_itself() -> None:
    apia = Calendar(Interval(DAY), ZoneInfo("Pacific/Apia"), BillingTime.CALENDAR, date(2011, 1, 1))
    start = instant("2011-12-29T10:00")  # Midnight of the 29th.
    found = list(stretches(apia, start, start + timedelta(days=2)))
    assert [each.fee_days.first_day.isoformat() for each in found] == ["2011-12-29", "2011-12-31"]
    after = stretches_after(apia, start=start, end=None, after=date(2011, 12, 29))
    assert next(after).fee_days.first_day == date(2011, 12, 31)


def test_periods_are_known_up_to_the_one_after_the_present() -> None:
    start = instant("2024-01-15T10:00")
    found = through(stretches(by_calendar(MONTH), start, None), instant("2024-02-10T00:00"))
    assert [each.whole.first_day.month for each in found] == [1, 2, 3]


def test_stretches_go_on_after_what_is_written() -> None:
    start, end = instant("2024-01-15T10:00"), instant("2024-03-01T00:00")
    after = stretches_after(by_calendar(MONTH), start=start, end=end, after=date(2024, 1, 1))
    whole = list(stretches(by_calendar(MONTH), start, end))
    assert list(after) == whole[1:]
    done = stretches_after(by_calendar(MONTH), start=start, end=end, after=date(2024, 2, 1))
    assert list(done) == []


@pytest.mark.parametrize(
    ("timing", "due"),
    [
        (Timing.IN_ARREARS, ["2024-02-01T00:10", "2024-03-01T00:10"]),
        (Timing.IN_ADVANCE, ["2024-01-15T10:00", "2024-02-01T00:10"]),
    ],
)
def test_base_fees_are_due_at_an_end_of_their_period(timing: Timing, due: list[str]) -> None:
    start = instant("2024-01-15T10:00")
    two = list(islice(stretches(by_calendar(MONTH), start, None), 2))
    charge = Charge("c", "c", "", StandardPrice(Decimal(1)), ())
    version = PlanVersion(UUID(int=1), 1, MONTH, Decimal(9), timing, (charge,), start)
    planned = list(
        planned_periods(two, version, start=start, collection_delay=timedelta(minutes=10))
    )
    base = [each.due_at for each in planned if each.kind is PeriodKind.BASE]
    usage = [each.due_at for each in planned if each.kind is PeriodKind.USAGE]
    assert base == [instant(text) for text in due]
    assert usage == [instant("2024-02-01T00:10"), instant("2024-03-01T00:10")]
