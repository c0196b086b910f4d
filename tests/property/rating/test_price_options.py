"""What lies between prices adds up, and options keep within their bounds."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.charge_price import Usage, price_usage
from services.rating.domain.price import Price, amount_of, flat_row, rate
from services.rating.domain.price_options import (
    Conversion,
    ConversionRounding,
    PriceOptions,
    PricingUnit,
    adjust,
    convert,
    units_to_price,
)
from services.rating.domain.rows_between import rows_between
from tests.property.rating.test_prices import models

small = st.decimals(min_value=0, max_value=60, places=2)
parts = st.lists(small, min_size=1, max_size=5)


@given(models, st.lists(st.decimals(min_value=-60, max_value=60, places=2), max_size=6))
def test_parts_of_a_period_cost_what_the_whole_costs(
    price: Price, positions: list[Decimal]
) -> None:
    prices = [(), *(rate(price, position) for position in positions)]
    between = [rows_between(before, after) for before, after in pairwise(prices)]
    assert sum(amount_of(rows) for rows in between) == amount_of(prices[-1])
    for row in (row for rows in between for row in rows):
        product = Fraction(row.units) * Fraction(row.unit_amount)
        assert Fraction(row.amount) == product + Fraction(row.flat_amount)
        assert row.units or row.flat_amount


@given(st.integers(0, 30), st.lists(st.integers(0, 20), max_size=5))
def test_free_units_are_the_first_ones_of_the_period(free: int, quantities: list[int]) -> None:
    options, before = PriceOptions(usage_discount=Decimal(free)), 0
    for quantity in quantities:
        left = units_to_price(options, Decimal(quantity), before=Decimal(before))
        paying = [unit for unit in range(before, before + quantity) if unit >= free]
        assert [left.units, left.free] == [Decimal(len(paying)), Decimal(quantity - len(paying))]
        assert left.before == len(range(free, before))
        before += quantity


@given(parts, small, st.decimals(min_value=0, max_value=100, places=1), small)
def test_the_parts_of_a_period_never_pass_its_maximum_nor_miss_its_minimum(
    amounts: list[Decimal], low: Decimal, percent: Decimal, more: Decimal
) -> None:
    high = low + more
    options = PriceOptions(percentage_discount=percent, minimum_amount=low, maximum_amount=high)
    billed, plain = Decimal(0), Fraction(0)
    for place, amount in enumerate(amounts):
        closing = place == len(amounts) - 1
        rows = adjust((flat_row("units", amount),), options, billed=billed, closing=closing)
        billed += amount_of(rows)
        plain += Fraction(amount) * (100 - Fraction(percent)) / 100
        floor = Fraction(low) if closing else Fraction(0)
        assert billed == max(floor, min(plain, Fraction(high)))


@given(small, st.integers(1, 50), st.integers(1, 50))
def test_a_conversion_is_exact_up_to_its_rounding(units: Decimal, times: int, by: int) -> None:
    exact = Fraction(units) * times / by
    found = {
        rounding: Fraction(convert(Conversion(Decimal(times), Decimal(by), rounding), units))
        for rounding in ConversionRounding
    }
    assert abs(found[ConversionRounding.NONE] - exact) <= Fraction(1, 2 * 10**30)
    assert 0 <= found[ConversionRounding.UP] - exact < 1
    assert 0 <= exact - found[ConversionRounding.DOWN] < 1
    assert -Fraction(1, 2) < found[ConversionRounding.HALF_UP] - exact <= Fraction(1, 2)
    assert all(
        found[each].denominator == 1
        for each in ConversionRounding
        if each is not ConversionRounding.NONE
    )


@given(
    models,
    st.decimals(min_value=0, max_value=200, places=2),
    st.decimals(min_value="0.000001", max_value=9, places=6),
    st.decimals(min_value=0, max_value=100, places=1),
    small,
)
def test_prices_in_a_custom_unit_are_those_in_currency_times_the_rate(
    price: Price, units: Decimal, rate_: Decimal, percent: Decimal, most: Decimal
) -> None:
    unit = PricingUnit("credits", rate_)
    options = PriceOptions(percentage_discount=percent, maximum_amount=most, pricing_unit=unit)
    rows = price_usage(price, options, Usage(units))
    in_currency = Fraction(amount_of(rate(price, units))) * Fraction(rate_)
    expected = min(in_currency * (100 - Fraction(percent)) / 100, Fraction(most))
    assert Fraction(amount_of(rows)) == expected
    in_unit = [row for row in rows if row.pricing_unit]
    [converted] = [row for row in rows if row.label == "currency"]
    assert converted.units == sum(row.amount for row in in_unit)
    assert Fraction(converted.amount) == in_currency
