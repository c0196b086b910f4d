"""Rows grouped and reduced as columns are those that a loop would find."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.columns import ints
from services.rating.domain.grouping import group

# Of one digit of the sort, of two, and of more than it takes by digits.
codes_of_any_width = st.sampled_from([3, 2**16, 2**18, 2**32, 2**48]).flatmap(
    lambda most: st.lists(st.integers(0, most), max_size=30)
)
numbers = st.integers(-(2**63), 2**63 - 1)


@given(codes_of_any_width)
def test_rows_of_a_group_are_equal_and_in_their_order(codes: list[int]) -> None:
    groups = group(ints(codes))
    order = sorted(range(len(codes)), key=codes.__getitem__)
    expected = [list(rows) for _, rows in groupby(order, key=codes.__getitem__)]
    assert groups.order.tolist() == order
    assert groups.sizes().tolist() == list(map(len, expected))
    assert groups.places().tolist() == [sorted(set(codes)).index(code) for code in codes]


@given(st.lists(st.tuples(st.integers(0, 3), numbers | st.integers(-9, 9)), min_size=1))
def test_sums_of_groups_are_exact(rows: list[tuple[int, int]]) -> None:
    codes, values = zip(*rows, strict=True)
    sums = group(ints(codes)).sums(ints(values))
    of_code = {code: [value for each, value in rows if each == code] for code in sorted(set(codes))}
    assert sums == list(map(sum, of_code.values()))
