"""Discounts: tables that can be checked in the head."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.invoicing.domain.discounts import (
    AmountOff,
    Discount,
    PercentOff,
    discount_minor,
    spread_minor,
)

TENTH, HALF, FIFTY = PercentOff(Decimal(10)), PercentOff(Decimal(50)), AmountOff(50)


@pytest.mark.parametrize(
    ("subtotal", "discounts", "taken"),
    [
        (100, [], 0),
        (100, [TENTH], 10),
        (100, [HALF, TENTH], 55),
        (100, [TENTH, FIFTY], 60),
        (100, [FIFTY, TENTH], 55),
        (30, [FIFTY, TENTH], 30),
        (1, [HALF], 1),
        (5, [TENTH, TENTH], 1),  # 0.95: rounded once, at the end.
        (100, [PercentOff(Decimal(100)), FIFTY], 100),
        (-100, [TENTH, FIFTY], 0),
    ],
)
def test_discounts_take_from_what_those_before_left(
    subtotal: int, discounts: list[Discount], taken: int
) -> None:
    assert discount_minor(subtotal, discounts) == taken


@pytest.mark.parametrize(
    ("discount", "lines", "parts"),
    [
        (100, [333, 333, 334], [33, 33, 34]),
        (10, [10, 10, 10], [4, 3, 3]),
        (4000, [1000, 2000], [1000, 2000]),
        (10, [20, -5], [10, 0]),
        (10, [-5, -5], [0, 0]),
        (10, [], []),
    ],
)
def test_a_discount_falls_on_the_lines_that_cost_something(
    discount: int, lines: list[int], parts: list[int]
) -> None:
    assert spread_minor(discount, lines) == parts
