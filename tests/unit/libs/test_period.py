"""Local days are turned into instants by the zone's own rules."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from libs.period import DayPeriod, Period, local_day, local_midnight


@pytest.mark.parametrize(
    ("day", "zone", "instant"),
    [
        (date(2014, 1, 1), "Australia/Melbourne", datetime(2013, 12, 31, 13, tzinfo=UTC)),
        (date(2014, 4, 7), "Australia/Melbourne", datetime(2014, 4, 6, 14, tzinfo=UTC)),
        (date(2014, 10, 6), "Australia/Melbourne", datetime(2014, 10, 5, 13, tzinfo=UTC)),
        # Midnight itself is skipped: the day starts at 01:00 there.
        (date(2018, 11, 4), "America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
        # Midnight comes twice: the day starts with the first.
        (date(2023, 10, 29), "Atlantic/Azores", datetime(2023, 10, 29, 0, tzinfo=UTC)),
    ],
)
def test_a_day_starts_at_its_first_instant(day: date, zone: str, instant: datetime) -> None:
    assert local_midnight(day, ZoneInfo(zone)) == instant
    assert local_day(instant, ZoneInfo(zone)) == day


def test_periods_are_half_open() -> None:
    january = DayPeriod(date(2014, 1, 1), date(2014, 2, 1))
    period = january.instants(ZoneInfo("UTC"))
    assert january.days == 31
    assert period.start in period and period.end not in period
    assert not period.overlaps(Period(period.end, datetime(2014, 3, 1, tzinfo=UTC)))


def test_a_month_with_a_clock_change_has_an_odd_number_of_hours() -> None:
    april = DayPeriod(date(2014, 4, 1), date(2014, 5, 1)).instants(ZoneInfo("Australia/Melbourne"))
    assert (april.end - april.start).total_seconds() == (30 * 24 + 1) * 3600
