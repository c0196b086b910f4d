"""Splitting money, for every total and all weights."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from libs.money import share


@given(
    st.integers(-(10**12), 10**12),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
)
def test_shares_sum_to_the_total_and_lie_within_one_of_the_exact_part(
    total: int, weights: list[int]
) -> None:
    parts = share(total, weights)
    assert sum(parts) == total
    if whole := sum(weights):
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - Fraction(total * weight, whole)) < 1
