"""Instant charges against an oracle that prices every beginning of the period anew."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from services.rating.domain.cell import Operation
from services.rating.domain.dynamic import DynamicPrice, rate_dynamic
from services.rating.domain.event import Moment
from services.rating.domain.instant import (
    InstantPrice,
    Step,
    correction,
    instant_fees,
    provisional_fee,
    replay,
    value_steps,
)
from services.rating.domain.percentage import PercentagePrice, amounts_so_far, rate_events
from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    Price,
    StandardPrice,
    Tier,
    amount_of,
    rate,
)

D = Decimal
amounts = st.integers(0, 40).map(D)
values = st.integers(-30, 60).map(D)
tiers = st.builds(
    lambda bound, one, other: (Tier(D(bound), *one), Tier(None, *other)),
    bound=st.integers(1, 50),
    one=st.tuples(amounts, amounts),
    other=st.tuples(amounts, amounts),
)
level_prices: st.SearchStrategy[Price] = st.one_of(
    amounts.map(StandardPrice),
    st.builds(PackagePrice, amounts, st.integers(1, 9).map(D), amounts),
    tiers.map(GraduatedPrice),
)
bounds = st.none() | amounts
percentages = st.builds(
    PercentagePrice,
    rate_percent=amounts,
    fixed_amount=amounts,
    free_events=st.integers(0, 3),
    free_amount=st.sampled_from([D(0), D(25), D(60)]),
    event_minimum=bounds,
    event_maximum=bounds,
)
prices: st.SearchStrategy[InstantPrice] = st.one_of(
    level_prices, percentages, amounts.map(DynamicPrice)
)


@st.composite
def step_lists(draw: st.DrawFn) -> list[Step]:
    """Steps in the order of moments; some of them at one instant."""
    times = sorted(draw(st.lists(st.integers(0, 4), min_size=1, max_size=8)))
    return [
        Step(Moment(time, 0, 0, place), draw(values), draw(amounts))
        for place, time in enumerate(times)
    ]


def priced(price: InstantPrice, steps: Sequence[Step]) -> Decimal:
    units = sum((step.units for step in steps), D(0))
    if isinstance(price, PercentagePrice):
        return amount_of(rate_events(price, [step.units for step in steps]))
    if isinstance(price, DynamicPrice):
        return amount_of(rate_dynamic(price, units, sum((s.amount for s in steps), D(0))))
    assert isinstance(price, Price)
    return amount_of(rate(price, units))


def paid_at_most(price: InstantPrice, steps: Sequence[Step]) -> Decimal:
    """Return the most that any beginning of the period costs."""
    return max(priced(price, steps[:count]) for count in range(1, len(steps) + 1))


@given(prices, step_lists())
def test_fees_sum_to_the_most_that_the_period_has_cost(
    price: InstantPrice, steps: list[Step]
) -> None:
    fees = [fee.amount for fee in instant_fees(price, steps)]
    assert all(fee >= 0 for fee in fees)
    assert sum(fees, D(0)) == paid_at_most(price, steps)
    assert amount_of(replay(price, steps)) == paid_at_most(price, steps)


@given(prices, step_lists().flatmap(lambda s: st.tuples(st.just(s), st.permutations(s))))
def test_with_the_correction_the_total_is_the_same_in_any_order_of_arrival(
    price: InstantPrice, both: tuple[list[Step], list[Step]]
) -> None:
    in_time, as_they_came = both
    fees = [
        provisional_fee(price, as_they_came[:place], step).amount
        for place, step in enumerate(as_they_came)
    ]
    total = sum(fees, correction(price, as_they_came, fees))
    assert total == paid_at_most(price, in_time)
    if as_they_came == in_time:
        assert not correction(price, in_time, fees)


@given(prices, step_lists(), st.integers(0, 7))
def test_events_dated_later_do_not_change_what_one_costs(
    price: InstantPrice, steps: list[Step], place: int
) -> None:
    step = steps[place % len(steps)]
    before = [each for each in steps if each.moment < step.moment]
    others = [each for each in steps if each is not step]
    assert provisional_fee(price, others, step) == provisional_fee(price, before, step)


@given(percentages, st.lists(values, max_size=9))
@example(PercentagePrice(D(10), free_events=1, event_maximum=D(5)), [D(60), D(-30)])
@example(PercentagePrice(D(10), free_events=1, event_minimum=D(5)), [D(60), D(30)])
@example(
    PercentagePrice(D(1), free_events=2, free_amount=D(25), event_maximum=D(1)), [D(26), D(-2)]
)
def test_amounts_so_far_are_those_of_each_beginning(
    price: PercentagePrice, came: list[Decimal]
) -> None:
    beginnings = (came[:count] for count in range(1, len(came) + 1))
    expected = [amount_of(rate_events(price, beginning)) for beginning in beginnings]
    assert list(amounts_so_far(price, came)) == expected


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_steps_of_values_lead_to_how_many_are_there(came: list[tuple[str, bool]]) -> None:
    operations = [
        (value, Operation(Moment(place, 0, 0, 0), present))
        for place, (value, present) in enumerate(came)
    ]
    there: set[str] = set()
    counts = []
    for value, present in came:
        (there.add if present else there.discard)(value)
        counts.append(len(there))
    steps = value_steps(reversed(operations))
    assert [sum(step.units for step in steps[: n + 1]) for n in range(len(came))] == counts
