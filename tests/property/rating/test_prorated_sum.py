"""Prorated sums against an oracle that adds up what is there on each single day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from libs.period import DayPeriod
from services.rating.domain.prorated_sum import prorated_sum, sum_entries
from services.rating.domain.proration import BilledDays

FIRST = date(2026, 3, 10)
DAYS = 30
OF_DAYS = 31
BILLED = BilledDays(DayPeriod(FIRST, FIRST + timedelta(days=DAYS)), held=DAYS, of_days=OF_DAYS)

days = st.integers(-40, DAYS + 10).map(lambda place: FIRST + timedelta(days=place))
values = st.decimals(min_value=-1_000, max_value=1_000, places=4)
events = st.lists(st.tuples(days, values), max_size=25)
Events = Sequence[tuple[date, Decimal]]


def there_each_day(came: Events) -> Fraction:
    """Return what is there, day by day: on a day counts all that has come up to it."""
    walk = (FIRST + timedelta(days=place) for place in range(DAYS))
    there = (Fraction(value) for today in walk for day, value in came if day <= today)
    return sum(there, Fraction(0)) / OF_DAYS


@given(events)
def test_a_prorated_sum_is_what_is_there_on_each_day(came: Events) -> None:
    expected = Fraction(ceil(there_each_day(came) * 100_000), 100_000)
    assert Fraction(prorated_sum(came, BILLED).units) == expected


@given(events)
def test_events_weighed_one_by_one_sum_to_the_same(came: Events) -> None:
    entries = sum_entries(sorted(came), BILLED)
    assert sum((entry.prorated for entry in entries), Fraction(0)) == there_each_day(came)
    full = prorated_sum(came, BILLED).full_units
    assert sum((entry.units for entry in entries), Decimal(0)) == full


@given(events)
def test_days_in_another_order_and_merged_give_the_same(came: Events) -> None:
    by_day: dict[date, Decimal] = {}
    for day, value in reversed(came):
        by_day[day] = by_day.get(day, Decimal(0)) + value
    assert prorated_sum(by_day.items(), BILLED) == prorated_sum(came, BILLED)
