"""Discounts never take more than there is, from no line and from no sum."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.discounts import AmountOff, PercentOff, discount_minor, spread_minor

lines = st.lists(st.integers(-500, 500), max_size=6)
discounts = st.lists(
    st.decimals(min_value=0, max_value=100, places=2).map(PercentOff)
    | st.integers(0, 600).map(AmountOff),
    max_size=4,
)


@given(st.integers(0, 600), lines)
def test_the_parts_of_a_discount_add_up_and_none_is_more_than_its_line(
    discount: int, lines: list[int]
) -> None:
    parts = spread_minor(discount, lines)
    costs = [max(line, 0) for line in lines]
    assert sum(parts) == min(discount, sum(costs))
    for part, cost in zip(parts, costs, strict=True):
        assert 0 <= part <= cost
        assert abs(part * sum(costs) - sum(parts) * cost) <= sum(costs)


@given(st.integers(-500, 500), discounts)
def test_one_more_discount_never_makes_it_dearer(
    subtotal: int, discounts: list[PercentOff | AmountOff]
) -> None:
    taken = [discount_minor(subtotal, discounts[:count]) for count in range(len(discounts) + 1)]
    assert taken == sorted(taken)
    assert taken[0] == 0
    assert taken[-1] <= max(subtotal, 0)
