"""Periods by the day of the month on which something began."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from libs.anniversary import anniversary, anniversary_period
from libs.period import DayPeriod


@pytest.mark.parametrize(
    ("months", "day"),
    [(0, "2024-01-31"), (1, "2024-02-29"), (2, "2024-03-31"), (3, "2024-04-30")]
    + [(12, "2025-01-31"), (13, "2025-02-28"), (-2, "2023-11-30")],
)
def test_a_short_month_takes_its_last_day_and_drags_none_after_it(months: int, day: str) -> None:
    assert anniversary(date(2024, 1, 31), months) == date.fromisoformat(day)


@pytest.mark.parametrize("every_months", [1, 3, 12])
@pytest.mark.parametrize("first_day", [date(2024, 1, 31), date(2024, 2, 29), date(2023, 7, 1)])
def test_periods_follow_each_other_and_hold_every_day(first_day: date, every_months: int) -> None:
    day, bounds = first_day, 0
    while day < first_day + timedelta(days=1500):
        start, end = (anniversary(first_day, (bounds + n) * every_months) for n in (0, 1))
        assert anniversary_period(first_day, every_months, day) == DayPeriod(start, end)
        day += timedelta(days=1)
        bounds += day == end
