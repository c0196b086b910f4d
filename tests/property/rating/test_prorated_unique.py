"""Prorated distinct values against an oracle that lives through every event and every day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from libs.period import DayPeriod
from services.rating.domain.cell import Operation
from services.rating.domain.event import Moment
from services.rating.domain.prorated_unique import (
    DayOperation,
    day_operations,
    prorated_unique_count,
    unique_entries,
)
from services.rating.domain.proration import BilledDays

FIRST = date(2026, 3, 10)
DAYS, OF_DAYS = 6, 7
BILLED = BilledDays(DayPeriod(FIRST, FIRST + timedelta(days=DAYS)), held=DAYS, of_days=OF_DAYS)

# Of each event the day, counted from the first one billed, the value, and whether it is added.
events = st.lists(
    st.tuples(st.integers(-4, DAYS + 2), st.sampled_from("abc"), st.booleans()), max_size=40
).map(lambda drawn: sorted(drawn, key=lambda event: event[0]))
Events = Sequence[tuple[int, str, bool]]


def histories(came: Events) -> list[list[DayOperation]]:
    of_value: dict[str, list[tuple[date, Operation]]] = {}
    for place, (day, value, present) in enumerate(came):
        operation = Operation(Moment(day, 0, 0, place), present)
        of_value.setdefault(value, []).append((FIRST + timedelta(days=day), operation))
    return [day_operations(operations) for operations in of_value.values()]


def lived_through(came: Events) -> tuple[int, int]:
    """Return on how many days billed values were there, and how many are at the end."""
    present: set[str] = set()
    days = 0
    for today in range(-4, DAYS):
        seen = set(present)
        for _, value, added in (event for event in came if event[0] == today):
            (present.add if added else present.discard)(value)
            seen |= present
        days += len(seen) if today >= 0 else 0
    return days, len(present)


@given(events)
def test_a_value_counts_on_each_day_on_which_it_is_there(came: Events) -> None:
    days, at_end = lived_through(came)
    usage = prorated_unique_count(histories(came), BILLED)
    assert Fraction(usage.units) == Fraction(ceil(Fraction(days * 100_000, OF_DAYS)), 100_000)
    assert usage.full_units == at_end


@given(events)
def test_events_weighed_one_by_one_sum_to_the_same(came: Events) -> None:
    days, at_end = lived_through(came)
    entries = unique_entries(histories(came), BILLED)
    assert sum((entry.prorated for entry in entries), Fraction(0)) == Fraction(days, OF_DAYS)
    assert sum((entry.units for entry in entries), Decimal(0)) == at_end
