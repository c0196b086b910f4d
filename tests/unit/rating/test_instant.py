"""Instant charges: stories with numbers that can be checked in the head."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from services.rating.domain.event import Moment
from services.rating.domain.graduated_percentage import GraduatedPercentagePrice, RateTier
from services.rating.domain.instant import (
    InstantPrice,
    Step,
    correction,
    instant_fees,
    prorated_steps,
    provisional_fee,
    replay,
)
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.price import GraduatedPrice, PackagePrice, StandardPrice, Tier

D = Decimal
ONE_EACH = StandardPrice(D(1))
FLAT = GraduatedPrice((Tier(D(5), D(2), D(100)), Tier(None, D(1), D(50))))
PACKS = PackagePrice(amount=D(10), package_size=D(4), free_units=D(2))
SHARE = PercentagePrice(D(10), fixed_amount=D(1), free_events=1)
TIERED_SHARE = GraduatedPercentagePrice((RateTier(D(100), D(2), D(0)), RateTier(None, D(1), D(0))))


def at(time: int, units: int) -> Step:
    return Step(Moment(time, 0, 0, time), D(units))


def story(*units: int) -> list[Step]:
    return [at(time, each) for time, each in enumerate(units)]


@pytest.mark.parametrize(
    ("price", "units", "amounts"),
    [
        (ONE_EACH, (10, -4, 8), (10, 0, 4)),  # 14 in the end; 10 were paid before.
        (ONE_EACH, (-5, 8), (0, 3)),
        (FLAT, (1, 4, 1), (102, 8, 51)),  # Flat amounts come with the event that reaches them.
        (FLAT, (0,), (100,)),
        (FLAT, (6, -6, 6), (161, 0, 0)),
        (PACKS, (2, 1, 3, 1), (0, 10, 0, 10)),
        (SHARE, (50, 50, -20, 20), (0, 6, 0, 2)),  # Each event that pays has its fixed amount.
        (TIERED_SHARE, (50, 100), (1, D("1.5"))),
    ],
)
def test_each_event_costs_what_it_adds_to_the_most_paid(
    price: InstantPrice, units: Sequence[int], amounts: Sequence[Decimal]
) -> None:
    assert [fee.amount for fee in instant_fees(price, story(*units))] == list(amounts)


def test_a_fee_shows_what_came_and_what_of_it_is_new() -> None:
    fees = instant_fees(ONE_EACH, story(10, -4, 8))
    assert [fee.units for fee in fees] == [10, 0, 8]
    assert [fee.new_units for fee in fees] == [10, 0, 4]


def test_a_late_event_is_priced_by_what_was_before_it_and_the_rest_is_corrected() -> None:
    # In time order: 5 at 2 each and 100 flat, then 5 at 1 each and 50 flat.
    first, late = at(2, 5), at(1, 5)
    fees = [
        provisional_fee(FLAT, [], first).amount,
        provisional_fee(FLAT, [first], late).amount,
    ]
    assert fees == [110, 110]
    assert correction(FLAT, [first, late], fees) == -55


def test_what_turns_out_to_have_gone_before_is_given_back_at_the_end() -> None:
    came, gone = at(2, 10), at(1, -4)
    fees = [provisional_fee(ONE_EACH, [], came).amount]
    fees.append(provisional_fee(ONE_EACH, [came], gone).amount)
    assert fees == [10, 0]
    assert correction(ONE_EACH, [came, gone], fees) == -4


def test_a_period_shows_the_rows_of_the_most_it_has_cost() -> None:
    (row,) = replay(ONE_EACH, story(10, -4, 8, -3))
    assert row.units == row.amount == 14
    assert replay(FLAT, []) == ()


def test_rises_are_weighed_by_the_days_left() -> None:
    left = {0: 30, 1: 20, 2: 15}
    steps = prorated_steps(story(10, -4, 8), lambda moment: left[moment.time], of_days=30)
    assert [step.units for step in steps] == [10, 0, 2]
