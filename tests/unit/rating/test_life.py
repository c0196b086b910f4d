"""Lives of subscriptions: terms, legs, and the days and instants that each is billed for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from libs.period import local_day
from services.rating.domain.calendar import BillingTime, Calendar
from services.rating.domain.life import Leg, term_stretches, terms_of
from services.rating.domain.pausing import moved_legs, paused_legs, resumed_legs
from services.rating.domain.plan import Interval, IntervalUnit, PlanVersion, Timing
from services.rating.domain.plan_changing import changed_legs, is_upgrade, yearly_amount

MONTH = Interval(IntervalUnit.MONTH)
ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def by_month(zone: str = "UTC") -> Calendar:
    return Calendar(MONTH, ZoneInfo(zone), BillingTime.CALENDAR, date(2024, 1, 1))


def started(at: str, *, zone: str = "UTC", end: str = "") -> list[Leg]:
    start = instant(at)
    first_day = local_day(start, ZoneInfo(zone))
    return [Leg(ONE, ONE, zone, start, instant(end) if end else None, first_day)]


def billed(legs: list[Leg], *, end: str = "", ended_by: str = "") -> list[tuple[str, ...]]:
    """Return of three stretches of each term the fee days, the end of usage days, and pauses."""
    found = []
    for term in terms_of(legs, instant(end) if end else None):
        over = instant(ended_by) if ended_by else None
        for each in islice(term_stretches(term, by_month(), ended_by=over), 3):
            days, used = each.fee_days, each.usage_end_day
            paused = [f"{one.first_day:%m-%d}..{one.end_day:%m-%d}" for one in each.paused]
            assert used is not None
            row = (f"{days.first_day:%m-%d}", f"{days.end_day:%m-%d}", f"{used:%m-%d}", *paused)
            found.append(row)
    return found


def windows(legs: list[Leg]) -> list[tuple[str, str]]:
    [term] = terms_of(legs, None)
    found = islice(term_stretches(term, by_month()), 3)
    return [(f"{each.usage.start:%m-%d %H:%M}", f"{each.usage.end:%m-%d %H:%M}") for each in found]


def test_the_day_of_a_change_is_the_new_plans() -> None:
    legs = changed_legs(
        started("2024-03-05T12:00"), TWO, instant("2024-03-12T12:00"), end=None, term_id=TWO
    )
    assert billed(legs)[:2] == [("03-05", "03-12", "03-13"), ("03-12", "04-01", "04-01")]


def test_a_change_at_midnight_leaves_no_usage_on_the_new_plans_day() -> None:
    legs = changed_legs(
        started("2024-03-05T12:00"), TWO, instant("2024-03-12T00:00"), end=None, term_id=TWO
    )
    assert billed(legs)[:2] == [("03-05", "03-12", "03-12"), ("03-12", "04-01", "04-01")]


def test_a_term_between_two_changes_of_a_day_has_no_fee_days() -> None:
    legs = started("2024-03-05T12:00")
    legs = changed_legs(legs, TWO, instant("2024-03-12T12:00"), end=None, term_id=TWO)
    legs = changed_legs(legs, THREE, instant("2024-03-12T13:00"), end=None, term_id=THREE)
    assert billed(legs)[:3] == [
        ("03-05", "03-12", "03-13"),
        ("03-12", "03-12", "03-13"),
        ("03-12", "04-01", "04-01"),
    ]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("2024-03-12T06:00", [("03-05", "03-13", "03-13")]),  # Plainly: the day is billed.
        ("2024-03-12T00:00", [("03-05", "03-13", "03-13")]),  # Set ahead: that day, too.
        ("2024-04-01T00:00", [("03-05", "04-01", "04-01")]),  # Unless a period begins.
        ("2024-03-05T12:00", [("03-05", "03-06", "03-06")]),
    ],
)
def test_the_day_of_the_end_is_billed_unless_a_period_begins(
    end: str, expected: list[tuple[str, str, str]]
) -> None:
    assert billed(started("2024-03-05T12:00", end=end), end=end) == expected


def test_the_same_plan_again_takes_a_change_back() -> None:
    legs = started("2024-03-05T12:00")
    ahead = changed_legs(legs, TWO, instant("2024-04-01"), end=None, term_id=TWO)
    assert changed_legs(ahead, ONE, instant("2024-03-20"), end=None, term_id=THREE) == legs


def test_days_that_are_paused_all_day_are_not_billed() -> None:
    legs = paused_legs(started("2024-03-05T12:00"), instant("2024-03-10T14:00"), None, None)
    assert billed(legs)[:2] == [
        ("03-05", "04-01", "04-01", "03-11..04-01"),
        ("04-01", "05-01", "05-01", "04-01..05-01"),
    ]
    legs = resumed_legs(legs, instant("2024-03-15T09:00"), None)
    assert billed(legs)[:2] == [
        ("03-05", "04-01", "04-01", "03-11..03-15"),
        ("04-01", "05-01", "05-01"),
    ]


def test_a_pause_of_no_time_as_it_starts_leaves_a_life_as_it_was() -> None:
    before, start = started("2024-03-05T12:00"), instant("2024-03-05T12:00")
    assert resumed_legs(paused_legs(before, start, None, None), start, None) == before


def test_fees_in_advance_count_a_pause_once_it_is_over() -> None:
    legs = paused_legs(started("2024-03-05T12:00"), instant("2024-03-10T14:00"), None, None)
    legs = resumed_legs(legs, instant("2024-04-20T09:00"), None)
    before, after = (
        billed(legs, ended_by="2024-04-20T08:59"),
        billed(legs, ended_by="2024-04-20T09:00"),
    )
    assert before[0] == ("03-05", "04-01", "04-01")
    assert after[0] == ("03-05", "04-01", "04-01", "03-11..04-01")
    # What begins in the pause is billed for what follows it from the start.
    assert before[1] == after[1] == ("04-01", "05-01", "05-01", "04-01..04-20")


def test_a_move_to_the_west_repeats_no_day() -> None:
    legs = started("2024-03-05T00:00", zone="Asia/Tokyo")
    # 1 April 05:00 in Tokyo, where March has ended; 31 March 13:00 in Los Angeles.
    legs = moved_legs(
        legs, instant("2024-03-31T20:00"), "America/Los_Angeles", default_for_usage=False
    )
    assert legs[1].first_day == date(2024, 4, 1)
    assert legs[1].day(instant("2024-03-31T21:00")) == date(2024, 4, 1)
    assert windows(legs)[:2] == [("03-05 00:00", "03-31 15:00"), ("03-31 15:00", "05-01 07:00")]


def test_a_move_within_a_period_lets_it_go_on_to_its_end_in_the_new_zone() -> None:
    legs = started("2024-03-05T00:00", zone="Asia/Tokyo")
    legs = moved_legs(
        legs, instant("2024-03-15T01:00"), "America/Los_Angeles", default_for_usage=False
    )
    assert windows(legs)[:2] == [("03-05 00:00", "04-01 07:00"), ("04-01 07:00", "05-01 07:00")]


def test_a_move_to_the_east_ends_at_once_what_has_ended_there() -> None:
    legs = started("2024-03-05T08:00", zone="America/Los_Angeles")
    # 31 March 10:00 in Los Angeles is 1 April 02:00 in Tokyo.
    legs = moved_legs(legs, instant("2024-03-31T17:00"), "Asia/Tokyo", default_for_usage=False)
    assert windows(legs)[:2] == [("03-05 08:00", "03-31 17:00"), ("03-31 17:00", "04-30 15:00")]


@pytest.mark.parametrize(
    ("unit", "count", "amount", "expected"),
    [
        (IntervalUnit.DAY, 1, "1", 365),
        (IntervalUnit.WEEK, 1, "10", 520),
        (IntervalUnit.MONTH, 2, "100", 600),
        (IntervalUnit.QUARTER, 1, "100", 400),
        (IntervalUnit.HALF_YEAR, 1, "100", 200),
        (IntervalUnit.YEAR, 1, "1188", 1188),
    ],
)
def test_plans_are_compared_by_their_fees_of_a_year(
    unit: IntervalUnit, count: int, amount: str, expected: int
) -> None:
    assert yearly_amount(a_version(unit, amount, count)) == expected


def test_the_same_fees_of_a_year_are_an_upgrade() -> None:
    monthly = a_version(IntervalUnit.MONTH, "10")
    assert is_upgrade(monthly, a_version(IntervalUnit.YEAR, "120"))
    assert not is_upgrade(monthly, a_version(IntervalUnit.YEAR, "119.99"))


def a_version(unit: IntervalUnit, amount: str, count: int = 1) -> PlanVersion:
    return PlanVersion(
        plan_version_id=ONE,
        version=1,
        interval_unit=unit,
        base_amount=Decimal(amount),
        base_timing=Timing.IN_ADVANCE,
        charges=(),
        created_at=instant("2024-01-01"),
        interval_count=count,
    )
