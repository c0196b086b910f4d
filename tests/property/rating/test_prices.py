"""Each price model against an oracle that prices one unit at a time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    Price,
    StandardPrice,
    Tier,
    VolumePrice,
    amount_of,
    rate,
    rate_volume,
)

prices = st.decimals(min_value=0, max_value=1_000, places=6)
widths = st.lists(st.integers(1, 40), max_size=5)
quantities = st.integers(0, 250)
fine_quantities = st.decimals(min_value=0, max_value=10**12, places=12)


@st.composite
def tier_tables(draw: st.DrawFn) -> tuple[Tier, ...]:
    bounds = [Decimal(bound) for bound in accumulate(draw(widths))]
    caps = st.none() | prices
    return tuple(Tier(up_to, draw(prices), draw(prices), draw(caps)) for up_to in [*bounds, None])


models: st.SearchStrategy[Price] = st.one_of(
    prices.map(StandardPrice),
    st.builds(
        PackagePrice,
        amount=prices,
        package_size=st.decimals(min_value="0.001", max_value=100, places=3),
        free_units=prices,
    ),
    tier_tables().map(GraduatedPrice),
    tier_tables().map(VolumePrice),
)


def place_of(tiers: tuple[Tier, ...], unit: int) -> int:
    bounds = enumerate(tier.up_to for tier in tiers)
    return next(place for place, up_to in bounds if up_to is None or unit <= up_to)


def capped(tier: Tier, cost: Decimal) -> Decimal:
    return cost if tier.flat_cap is None else min(cost, tier.flat_cap)


@given(tier_tables(), quantities)
def test_graduated_equals_pricing_one_unit_at_a_time(tiers: tuple[Tier, ...], units: int) -> None:
    costs = {0: tiers[0].flat_amount}
    for unit in range(1, units + 1):
        place = place_of(tiers, unit)
        costs.setdefault(place, tiers[place].flat_amount)
        costs[place] += tiers[place].unit_amount
    total = sum((capped(tiers[place], cost) for place, cost in costs.items()), Decimal(0))
    assert amount_of(rate(GraduatedPrice(tiers), Decimal(units))) == total


@given(tier_tables(), quantities)
def test_volume_prices_every_unit_by_the_last_ones_tier(
    tiers: tuple[Tier, ...], units: int
) -> None:
    tier = tiers[place_of(tiers, units)]
    total = sum((tier.unit_amount for _ in range(units)), tier.flat_amount)
    assert amount_of(rate(VolumePrice(tiers), Decimal(units))) == capped(tier, total)


@given(tier_tables(), quantities, st.integers(0, 250))
def test_prorated_volume_prices_each_unit_by_the_tier_of_all(
    tiers: tuple[Tier, ...], units: int, more: int
) -> None:
    tier = tiers[place_of(tiers, units + more)]
    total = sum((tier.unit_amount for _ in range(units)), tier.flat_amount)
    rows = rate_volume(VolumePrice(tiers), Decimal(units), full_units=Decimal(units + more))
    assert amount_of(rows) == capped(tier, total)


@given(prices, st.integers(1, 20), st.integers(0, 60), quantities)
def test_packages_are_opened_one_after_the_other(
    amount: Decimal, size: int, free: int, units: int
) -> None:
    total, left = Decimal(0), 0
    for _ in range(free, units):
        if left == 0:
            total, left = total + amount, size
        left -= 1
    price = PackagePrice(amount, Decimal(size), Decimal(free))
    assert amount_of(rate(price, Decimal(units))) == total


@given(models, fine_quantities)
def test_rows_can_be_checked_by_hand_and_add_up(price: Price, units: Decimal) -> None:
    rows = rate(price, units)
    for row in rows:
        product = Fraction(row.units) * Fraction(row.unit_amount)
        assert Fraction(row.amount) == product + Fraction(row.flat_amount)
    assert Fraction(amount_of(rows)) == sum(Fraction(row.amount) for row in rows)


@given(models, fine_quantities, fine_quantities)
def test_more_units_never_cost_less_unless_volume_says_so(
    price: Price, some: Decimal, more: Decimal
) -> None:
    if not isinstance(price, VolumePrice):
        low, high = sorted((some, more))
        assert amount_of(rate(price, low)) <= amount_of(rate(price, high))
