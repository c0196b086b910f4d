"""Trials: which days of a base period cost, and when they are due."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from libs.period import local_day
from services.rating.domain.calendar import BillingTime, Calendar, stretches
from services.rating.domain.period import PeriodKind, planned_periods
from services.rating.domain.plan import Interval, IntervalUnit, PlanVersion, Timing
from services.rating.domain.trial import trial_of

START = "2024-03-05T12:12"


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def base(
    days: int,
    start: str = START,
    *,
    end: str = "",
    first_start: str = "",
    zone: str = "UTC",
    timing: Timing = Timing.IN_ADVANCE,
) -> list[tuple[str, str, str]]:
    """First day, end day and due time of the base fees of the first three months."""
    starts, local = instant(start), ZoneInfo(zone)
    months = Calendar(
        Interval(IntervalUnit.MONTH), local, BillingTime.CALENDAR, local_day(starts, local)
    )
    version = PlanVersion(
        UUID(int=1), 1, IntervalUnit.MONTH, Decimal(50), timing, (), starts, trial_days=days
    )
    found = planned_periods(
        islice(stretches(months, starts, instant(end) if end else None), 3),
        version,
        start=starts,
        collection_delay=timedelta(minutes=10),
        trial=trial_of(instant(first_start or start), days, local),
    )
    shown = []
    for each in found:
        assert each.kind is PeriodKind.BASE
        assert each.stretch.usage.start <= each.stretch.usage.end
        paid = each.stretch.fee_days
        due = f"{each.due_at:%m-%d %H:%M}"
        shown.append((f"{paid.first_day:%m-%d}", f"{paid.end_day:%m-%d}", due))
    return shown


def test_the_rest_of_the_period_is_due_when_its_trial_ends() -> None:
    assert base(10) == [
        ("03-15", "04-01", "03-15 12:12"),  # 17 of 31 days.
        ("04-01", "05-01", "04-01 00:10"),
        ("05-01", "06-01", "05-01 00:10"),
    ]


def test_in_arrears_the_sheltered_days_cost_nothing() -> None:
    assert base(10, timing=Timing.IN_ARREARS)[0] == ("03-15", "04-01", "04-01 00:10")


def test_a_period_within_the_trial_has_no_base_fee() -> None:
    assert base(45) == [("04-19", "05-01", "04-19 12:12"), ("05-01", "06-01", "05-01 00:10")]


def test_without_a_trial_nothing_is_sheltered() -> None:
    assert base(0)[0] == ("03-05", "04-01", "03-05 12:12")


@pytest.mark.parametrize(
    ("zone", "start", "second"),
    [
        # It ends at 03:12 in Paris on the first: the month is due as if there were none.
        ("Europe/Paris", "2024-03-22T01:12", ("04-01", "05-01", "03-31 22:10")),
        # In Tokyo that instant is on the second.
        ("Asia/Tokyo", "2024-03-22T18:12", ("04-02", "05-01", "04-01 18:12")),
    ],
)
def test_on_the_local_day_of_billing_the_trial_of_that_day_does_not_matter(
    zone: str, start: str, second: tuple[str, str, str]
) -> None:
    assert base(10, start, zone=zone)[0] == second


def test_another_life_of_the_id_goes_on_with_the_trial_of_the_first() -> None:
    first = "2024-03-04T21:00"
    assert base(7, "2024-03-08T09:00", first_start=first)[0] == ("03-11", "04-01", "03-11 21:00")
    # On its last day nothing is sheltered any more: 21 of 31 days.
    assert base(7, "2024-03-11T23:05", first_start=first)[0] == ("03-11", "04-01", "03-11 23:05")
    assert base(7, "2024-06-11T00:00", first_start=first)[0] == ("06-11", "07-01", "06-11 00:00")


@pytest.mark.parametrize(
    ("end", "days"),
    [
        ("2024-03-11T23:00", []),  # The day on which it ended is not billed, as nothing follows.
        ("2024-03-10T00:00", []),
        ("2024-03-12T01:00", [("03-11", "03-13")]),
    ],
)
def test_what_ends_on_the_day_of_its_trial_costs_nothing(
    end: str, days: list[tuple[str, str]]
) -> None:
    found = base(7, "2024-03-04T21:00", end=end)
    assert [(first, last) for first, last, _ in found] == days


def test_a_trial_ends_so_many_days_after_the_first_start() -> None:
    trial = trial_of(instant("2024-03-22T18:12"), 10, ZoneInfo("Asia/Tokyo"))
    assert trial is not None
    assert (trial.end, trial.day) == (instant("2024-04-01T18:12"), date(2024, 4, 2))
