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

WEEK, MONTH = IntervalUnit.WEEK, IntervalUnit.MONTH
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
