"""Which days a distinct value counts for: stories of one value in a period of ten days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from libs.period import DayPeriod
from services.rating.domain.cell import Operation
from services.rating.domain.event import Moment
from services.rating.domain.prorated_unique import (
    DayOperation,
    day_operations,
    prorated_unique_count,
    stays,
    unique_entries,
)
from services.rating.domain.proration import BilledDays, Entry

FIRST = date(2026, 6, 1)
TEN = BilledDays(DayPeriod(FIRST, FIRST + timedelta(days=10)), held=10, of_days=10)
GO = Entry(Decimal(-1), Fraction(0))


def come(days: int) -> Entry:
    return Entry(Decimal(1), Fraction(days, 10))


def story(text: str, *, hour: int = 0) -> list[DayOperation]:
    """Read "+1 -3": added on the first day billed, removed on the third; 0 is the day before."""
    return day_operations(
        (
            FIRST + timedelta(days=int(word[1:]) - 1),
            Operation(Moment(int(word[1:]), hour, 0, place), word[0] == "+"),
        )
        for place, word in enumerate(text.split())
    )


@pytest.mark.parametrize(
    ("text", "units", "at_end"),
    [
        ("+0", "1", 1),
        ("+1", "1", 1),
        ("+10", "0.1", 1),
        ("+11", "0", 0),
        ("+0 -0", "0", 0),
        ("+0 -1", "0.1", 0),
        ("+0 -10", "1", 0),
        ("+0 -11", "1", 1),  # That it goes later does not matter yet.
        ("+3 -3", "0.1", 0),
        ("+3 -3 +3 -3", "0.1", 0),
        ("+0 -3 +3", "1", 1),  # Gone and back on one day.
        ("+0 -3 +4", "1", 1),  # The day it goes counts, and the day it comes.
        ("+0 -3 +5", "0.9", 1),
        ("+0 +3 +5", "1", 1),
        ("-3", "0", 0),
        ("-3 +5 -5 -7", "0.1", 0),
    ],
)
def test_a_value_counts_for_its_days(text: str, units: str, at_end: int) -> None:
    usage = prorated_unique_count([story(text)], TEN)
    assert (usage.units, usage.full_units) == (Decimal(units), Decimal(at_end))


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("+0", [come(10)]),
        ("+0 -0", []),  # Gone before the period: it takes no place.
        ("+6 +7", [come(5)]),
        ("+6 -6", [come(1), GO]),
        ("+0 -3 +5", [come(3), GO, come(6)]),
    ],
)
def test_a_value_comes_with_its_days_and_goes_with_none(
    text: str, entries: Sequence[Entry]
) -> None:
    assert unique_entries([story(text)], TEN) == entries


def test_repeated_operations_of_a_day_do_not_move_its_instants() -> None:
    (stay,) = stays(story("+1 +1 -1 +1 -1 -1"), TEN.days.end_day)
    assert stay.added == Moment(1, 0, 0, 0)
    assert stay.removed == Moment(1, 0, 0, 4)


def test_values_come_and_go_in_the_order_of_their_moments() -> None:
    found = unique_entries([story("+1 -2"), story("+2", hour=1), story("+0")], TEN)
    assert [entry.units for entry in found] == [1, 1, -1, 1]
