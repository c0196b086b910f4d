"""What a run bills, seen from its instant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from libs.period import Period
from services.rating.domain.billing_run import (
    Ending,
    Life,
    billed_at,
    is_billing_day,
    usage_after,
)
from services.rating.domain.calendar import BillingTime, Calendar
from services.rating.domain.plan import Interval, IntervalUnit, Timing

MONTHLY = Calendar(
    Interval(IntervalUnit.MONTH), ZoneInfo("UTC"), BillingTime.ANNIVERSARY, date(2026, 1, 31)
)


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ending", "first", "end"),
    [
        (Ending.CANCELLATION, at(3, 31), at(4, 10, 9)),
        (Ending.UPGRADE, at(3, 31), at(4, 10, 9)),
        (Ending.DOWNGRADE, at(2, 28), at(3, 31)),
    ],
)
def test_an_end_cuts_the_present_period_but_a_downgrade_bills_the_one_before(
    ending: Ending, first: datetime, end: datetime
) -> None:
    life = Life(at(1, 31), at(4, 10, 9), ending)
    run = billed_at(MONTHLY, MONTHLY, life, at=at(4, 11), timing=Timing.IN_ARREARS)
    assert run.usage.usage == run.fee.usage == Period(first, end)


def test_an_end_that_lies_ahead_cuts_nothing_yet() -> None:
    life = Life(at(1, 31), at(4, 10, 9), Ending.CANCELLATION)
    run = billed_at(MONTHLY, MONTHLY, life, at=at(4, 1), timing=Timing.IN_ADVANCE)
    assert run.fee.usage == Period(at(3, 31), at(4, 30))
    assert run.usage.usage == Period(at(2, 28), at(3, 31))


@pytest.mark.parametrize(("hours", "joined"), [(26, True), (-26, True), (27, False), (-27, False)])
def test_usage_goes_on_where_it_ended_if_no_zones_can_lie_further_apart(
    hours: int, joined: bool
) -> None:
    last_end = at(3, 1) - timedelta(hours=hours)
    window = usage_after(Period(at(3, 1), at(4, 1)), last_end)
    assert window == Period(last_end if joined else at(3, 1), at(4, 1))


def test_the_day_of_a_fence_post_is_a_billing_day_and_no_other() -> None:
    found = [day for day in range(1, 29) if is_billing_day(MONTHLY, at(2, day, 23))]
    assert found == [28]
