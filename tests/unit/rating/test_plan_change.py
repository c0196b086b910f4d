"""What a change of plan gives back and charges, in a period of thirty days."""

from __future__ import annotations

from datetime import date

import pytest

from libs.period import DayPeriod
from services.rating.domain.plan_change import Component, change_minor

JUNE = DayPeriod(date(2026, 6, 1), date(2026, 7, 1))


@pytest.mark.parametrize(
    ("amount_minor", "nominal_days", "day", "charged"),
    [
        (3000, 30, 1, 3000),
        (3000, 30, 16, 1500),
        (-3000, 30, 16, -1500),
        (3000, 30, 30, 100),
        (3000, None, 16, 3000),
        (15, 30, 30, 1),  # Half a unit goes away from zero, on both sides.
        (-15, 30, 30, -1),
        (14, 30, 30, 0),
        (36500, 365, 1, 3000),
        (700, 7, 30, 100),
        (3000, 31, 16, 1500),  # A month is a month.
    ],
)
def test_a_change_is_charged_for_the_days_left(
    amount_minor: int, nominal_days: int | None, day: int, charged: int
) -> None:
    component = Component(amount_minor, nominal_days)
    assert change_minor(component, JUNE, date(2026, 6, day)) == charged
