"""Proration of recurring usage: numbers that can be checked in the head."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from libs.period import DayPeriod, Period
from services.rating.domain.high_water import HighWater, instant_usage, prorated_rise
from services.rating.domain.prorated_sum import prorated_sum
from services.rating.domain.proration import BilledDays, billed_days, prorate

D = Decimal
BERLIN = ZoneInfo("Europe/Berlin")
JUNE = BilledDays(DayPeriod(date(2026, 6, 1), date(2026, 7, 1)), held=30, of_days=30)
MAY, LAST_OF_JUNE = date(2026, 5, 31), date(2026, 6, 30)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("day", "units"),
    [
        (MAY, "3"),
        (date(2026, 6, 1), "3"),
        (date(2026, 6, 2), "2.9"),
        (date(2026, 6, 21), "1"),
        (LAST_OF_JUNE, "0.1"),
        (date(2026, 7, 1), "0"),
    ],
)
def test_units_count_from_their_day_to_the_last_one(day: date, units: str) -> None:
    assert prorated_sum([(day, D(3))], JUNE).units == D(units)


def test_what_goes_is_weighed_like_what_comes() -> None:
    usage = prorated_sum([(MAY, D(5)), (date(2026, 6, 16), D(-2))], JUNE)
    assert (usage.units, usage.full_units) == (D(4), D(3))


def test_what_was_there_before_counts_for_the_days_held() -> None:
    part = BilledDays(JUNE.days, held=29, of_days=30)
    assert prorated_sum([(MAY, D(30))], part).units == D(29)


@pytest.mark.parametrize(
    ("weighted", "of_days", "units"),
    [
        (D("5.6"), 28, "0.2"),  # A ratio rounded before would give 0.20001.
        (D(10), 31, "0.32259"),  # 0.322580…, rounded up.
        (D(-10), 31, "-0.32258"),
        (D(0), 31, "0"),
    ],
)
def test_unit_days_are_divided_once_and_rounded_up_to_5_places(
    weighted: Decimal, of_days: int, units: str
) -> None:
    assert prorate(weighted, of_days) == D(units)


def test_days_billed_are_those_that_the_usage_touches() -> None:
    usage = Period(at("2026-10-18T05:20+02:00"), at("2026-11-01T00:00+01:00"))
    expected = DayPeriod(date(2026, 10, 18), date(2026, 11, 1))
    assert billed_days(usage, BERLIN, of_days=31) == BilledDays(expected, held=14, of_days=31)


def test_held_units_count_started_blocks_of_24_hours() -> None:
    usage = Period(at("2026-06-10T10:00+02:00"), at("2026-06-12T09:00+02:00"))
    billed = billed_days(usage, BERLIN, of_days=30)
    assert (billed.days.days, billed.held) == (3, 2)


def test_the_day_of_an_end_at_its_first_instant_can_be_billed() -> None:
    usage = Period(at("2026-06-01T00:00+02:00"), at("2026-06-07T00:00+02:00"))
    through = DayPeriod(date(2026, 6, 1), date(2026, 6, 8))
    billed = billed_days(usage, BERLIN, of_days=30, fee_days=through)
    assert (billed.days.days, billed.held) == (7, 7)
    assert billed_days(usage, BERLIN, of_days=30).held == 6


def test_only_a_rise_above_the_highest_level_is_new() -> None:
    level, rises = HighWater(), []
    for change in [D(10), D(-6), D(8), D(-20), D(9)]:
        rises.append(level.rise(change))
        level = level.after(change)
    assert rises == [10, 0, 2, 0, 0]
    assert level == HighWater(level=D(1), highest=D(12))


def test_a_level_that_starts_below_zero_costs_from_zero_on() -> None:
    level = HighWater().after(D(-3))
    assert level == HighWater(level=D(-3), highest=D(0))
    assert level.rise(D(5)) == 2


def test_a_rise_is_weighed_by_the_days_left() -> None:
    assert prorated_rise(D(10), days=15, of_days=30) == D(5)


@pytest.mark.parametrize(
    ("total", "level", "risen", "usage"),
    [
        ("9", "4", "3.8", "6.3"),  # 5 were carried in, for half of the days; the rest has cost 3.8.
        ("4", "4", "3.8", "3.8"),
        ("0", "-5", "8.5", "8.5"),
    ],
)
def test_usage_so_far_is_what_was_carried_in_and_what_rose(
    total: str, level: str, risen: str, usage: str
) -> None:
    assert instant_usage(D(total), D(level), D(risen), days=15, of_days=30) == D(usage)
