"""Prorated graduated prices against an oracle that moves one unit at a time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.price import GraduatedPrice, Tier, amount_of, rate
from services.rating.domain.prorated_graduated import rate_prorated_graduated
from services.rating.domain.proration import Entry

prices = st.decimals(min_value=0, max_value=1_000, places=6)
widths = st.lists(st.integers(1, 10), max_size=4)
shares = st.integers(1, 31).map(lambda days: Fraction(days, 31))
moves = st.lists(st.tuples(st.integers(-15, 15).filter(bool), shares), min_size=1, max_size=8)


@st.composite
def tier_tables(draw: st.DrawFn, *, caps: bool = False) -> GraduatedPrice:
    bounds = [Decimal(bound) for bound in accumulate(draw(widths))]
    cap = st.none() | prices if caps else st.none()
    return GraduatedPrice(
        tuple(Tier(up_to, draw(prices), draw(prices), draw(cap)) for up_to in [*bounds, None])
    )


def entries_of(moved: list[tuple[int, Fraction]]) -> list[Entry]:
    return [Entry(Decimal(units), weight) for units, weight in moved]


def unit_by_unit(price: GraduatedPrice, moved: list[tuple[int, Fraction]]) -> Fraction:
    """Return the price; the n-th unit lies in the first tier that goes up to n or beyond."""

    def tier_of(unit: int) -> Tier:
        return next(t for t in price.tiers if t.up_to is None or unit <= t.up_to)

    position = highest = 0
    cost = weighed = Fraction(0)
    for units, weight in moved:
        weighed += units * weight
        for _ in range(abs(units)):
            upper = max(position, position + (1 if units > 0 else -1))
            amount = weight * Fraction(tier_of(upper).unit_amount)
            cost += amount if units > 0 else -amount
            position += 1 if units > 0 else -1
            highest = max(highest, position)
    if not weighed:
        return Fraction(price.tiers[0].flat_amount)
    reached = price.tiers[: price.tiers.index(tier_of(max(highest, 1))) + 1]
    flat = sum((Fraction(tier.flat_amount) for tier in reached), Fraction(0))
    return Fraction(0) if position < 0 else max(cost, Fraction(0)) + flat


@given(tier_tables(), moves)
def test_prorated_graduated_equals_moving_one_unit_at_a_time(
    price: GraduatedPrice, moved: list[tuple[int, Fraction]]
) -> None:
    amount = amount_of(rate_prorated_graduated(price, entries_of(moved)))
    assert abs(Fraction(amount) - unit_by_unit(price, moved)) <= Fraction(1, 2 * 10**30)


@given(tier_tables(caps=True), st.lists(st.decimals("0.01", 20, places=2), min_size=1, max_size=8))
def test_for_the_whole_period_it_is_the_plain_graduated_price(
    price: GraduatedPrice, units: list[Decimal]
) -> None:
    entries = [Entry(each, Fraction(1)) for each in units]
    rows = rate_prorated_graduated(price, entries)
    assert amount_of(rows) == amount_of(rate(price, sum(units, Decimal(0))))
    assert [row.label for row in rows] == [row.label for row in rate(price, sum(units, Decimal(0)))]


@given(tier_tables(caps=True), moves)
def test_however_units_move_nobody_is_paid(
    price: GraduatedPrice, moved: list[tuple[int, Fraction]]
) -> None:
    assert amount_of(rate_prorated_graduated(price, entries_of(moved))) >= 0
