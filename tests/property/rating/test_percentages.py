"""Percentages and dynamic prices against oracles that price one event or one unit at a time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.dynamic import DynamicPrice, rate_dynamic
from services.rating.domain.graduated_percentage import (
    GraduatedPercentagePrice,
    RateTier,
    rate_graduated_percentage,
)
from services.rating.domain.percentage import (
    PercentagePrice,
    event_amounts,
    free_of,
    rate_events,
    rate_percentage,
)
from services.rating.domain.price import amount_of

amounts = st.decimals(min_value=0, max_value=50, places=3)
# Small whole numbers meet limits exactly, which fine ones never do.
plain_values = st.lists(st.integers(0, 40).map(Decimal) | amounts, max_size=8)
any_values = st.lists(st.integers(-40, 40).map(Decimal), max_size=8)
percentages = st.builds(
    PercentagePrice,
    rate_percent=amounts,
    fixed_amount=amounts,
    free_events=st.integers(0, 4),
    free_amount=st.integers(0, 80).map(Decimal),
)
bounds = st.tuples(st.none() | amounts, st.none() | amounts)


@st.composite
def bounded_percentages(draw: st.DrawFn) -> PercentagePrice:
    low, high = draw(bounds)
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    elif low is None and high is None:
        high = draw(amounts)
    return replace(draw(percentages), event_minimum=low, event_maximum=high)


def by_running_totals(price: PercentagePrice, values: list[Decimal]) -> Fraction:
    """Price by the running totals of the events that can be free, as one formula."""
    units, count, limit = sum(values, Decimal(0)), len(values), price.free_amount
    running = list(accumulate(values))
    if price.free_events:
        running = running[: price.free_events]
    elif limit:
        beyond = [place for place, total in enumerate(running) if total > limit]
        running = running[: beyond[0] + 1] if beyond else running
    else:
        running = []
    last = running[-1] if running else Decimal(0)
    free = min(last, limit) if limit else last
    free_events = sum(total < limit for total in running) if limit else len(running)
    if units <= 0:
        return Fraction(0)
    rate = Fraction(price.rate_percent) / 100
    paid = max(Fraction(units) - Fraction(free), Fraction(0))
    return paid * rate + (count - free_events) * Fraction(price.fixed_amount)


def one_by_one(price: PercentagePrice, values: list[Decimal]) -> list[Fraction]:
    """Price each event alone; what is left that is free goes down from event to event."""
    events_left = price.free_events or (len(values) if price.free_amount else 0)
    amount_left = Fraction(price.free_amount) if price.free_amount else None
    priced = []
    for value in map(Fraction, values):
        cost: Fraction | None = None
        if events_left and (amount_left is None or value < amount_left):
            cost = Fraction(0)
            amount_left = None if amount_left is None else amount_left - value
        elif events_left and amount_left:
            value, amount_left = value - amount_left, Fraction(0)
        events_left = max(events_left - 1, 0)
        if cost is None:
            cost = value * Fraction(price.rate_percent) / 100 + Fraction(price.fixed_amount)
            cost = max(cost, Fraction(price.event_minimum or 0))
            if price.event_maximum is not None:
                cost = min(cost, Fraction(price.event_maximum))
        priced.append(cost)
    return priced


@given(percentages, any_values)
def test_a_percentage_equals_the_formula_over_running_totals(
    price: PercentagePrice, values: list[Decimal]
) -> None:
    assert amount_of(rate_events(price, values)) == by_running_totals(price, values)
    units = sum(values, Decimal(0))
    rows = rate_percentage(price, units, len(values), free_of(price, iter(values)))
    assert rows == rate_events(price, values)


@given(percentages | bounded_percentages(), plain_values)
def test_a_percentage_equals_pricing_one_event_at_a_time(
    price: PercentagePrice, values: list[Decimal]
) -> None:
    priced = one_by_one(price, values) if sum(values) else []
    assert amount_of(rate_events(price, values)) == sum(priced)
    if priced:
        assert event_amounts(price, values) == priced


@given(bounded_percentages(), any_values)
def test_with_bounds_the_whole_is_the_sum_of_the_events_even_below_zero(
    price: PercentagePrice, values: list[Decimal]
) -> None:
    alone = sum(event_amounts(price, values), Decimal(0)) if sum(values) > 0 else Decimal(0)
    assert amount_of(rate_events(price, values)) == max(alone, Decimal(0))


@given(percentages, plain_values)
def test_bounds_that_hold_nothing_change_nothing(
    price: PercentagePrice, values: list[Decimal]
) -> None:
    wide = replace(price, event_minimum=Decimal(0), event_maximum=Decimal(10**6))
    assert rate_events(wide, values) == rate_events(price, values)


@given(bounded_percentages(), any_values)
def test_rows_of_a_percentage_add_up_and_are_never_below_zero(
    price: PercentagePrice, values: list[Decimal]
) -> None:
    rows = rate_events(price, values)
    for row in rows:
        product = Fraction(row.units) * Fraction(row.unit_amount)
        assert Fraction(row.amount) == product + Fraction(row.flat_amount)
    assert amount_of(rows) >= 0


@st.composite
def rate_tables(draw: st.DrawFn) -> tuple[RateTier, ...]:
    bounds = [
        Decimal(bound) for bound in accumulate(draw(st.lists(st.integers(1, 40), max_size=5)))
    ]
    return tuple(RateTier(up_to, draw(amounts), draw(amounts)) for up_to in [*bounds, None])


@given(rate_tables(), st.integers(0, 200))
def test_a_graduated_percentage_equals_pricing_one_unit_at_a_time(
    tiers: tuple[RateTier, ...], units: int
) -> None:
    total, reached = Fraction(tiers[0].flat_amount), {0}
    for unit in range(1, units + 1):
        place = next(p for p, t in enumerate(tiers) if t.up_to is None or unit <= t.up_to)
        if place not in reached:
            total += Fraction(tiers[place].flat_amount)
            reached.add(place)
        total += Fraction(tiers[place].rate_percent) / 100
    rows = rate_graduated_percentage(GraduatedPercentagePrice(tiers), Decimal(units))
    assert amount_of(rows) == total


@given(amounts, st.lists(st.tuples(amounts, amounts), max_size=6))
def test_a_dynamic_price_equals_pricing_one_event_at_a_time(
    multiplier: Decimal, events: list[tuple[Decimal, Decimal]]
) -> None:
    units = sum((unit for unit, _ in events), Decimal(0))
    brought = sum((amount for _, amount in events), Decimal(0))
    each = sum(Fraction(amount) * Fraction(multiplier) for _, amount in events) if units else 0
    assert amount_of(rate_dynamic(DynamicPrice(multiplier), units, brought)) == each
