"""Rounding gives a multiple of its unit, on its side, and no other is nearer."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.rounding import Rounding, RoundingMode, round_units

# Half of them on the brink: whole tens and halves of them.
units_of_usage = st.one_of(
    st.decimals(-(10**12), 10**12, places=6),
    st.integers(-(10**6), 10**6).map(lambda halves: Decimal(halves) * 5),
    st.integers(-(10**45), 10**45).map(lambda number: Decimal(number).scaleb(-15)),
)


@given(units_of_usage, st.sampled_from(RoundingMode), st.integers(-4, 8))
def test_the_result_is_a_multiple_within_reach(
    units: Decimal, mode: RoundingMode, places: int
) -> None:
    unit = Fraction(10) ** -places
    rounded = Fraction(round_units(units, Rounding(mode, places)))
    assert rounded % unit == 0
    away = rounded - Fraction(units)
    match mode:
        case RoundingMode.CEIL:
            assert 0 <= away < unit
        case RoundingMode.FLOOR:
            assert -unit < away <= 0
        case RoundingMode.ROUND:
            assert 2 * abs(away) <= unit
            if 2 * abs(away) == unit:
                assert abs(rounded) > abs(Fraction(units))


@given(units_of_usage, st.sampled_from(RoundingMode), st.integers(-4, 8))
def test_rounding_twice_changes_nothing(units: Decimal, mode: RoundingMode, places: int) -> None:
    rounding = Rounding(mode, places)
    once = round_units(units, rounding)
    assert round_units(once, rounding) == once
