"""Usage that is priced apart by group keys."""

from __future__ import annotations

from decimal import Decimal

from services.rating.domain.cell import Cell
from services.rating.domain.groups import groups_of

DIMENSIONS = ("region", "model")
CELLS = [
    Cell(dimensions=values, event_count=1, total=Decimal(total))
    for values, total in [(("eu", "a"), 1), (("us", "a"), 2), (("eu", "b"), 4), (("", "a"), 8)]
]


def totals(*keys: str) -> dict[tuple[str, ...], Decimal | None]:
    return {group: cell.total for group, cell in groups_of(CELLS, DIMENSIONS, keys).items()}


def test_usage_with_one_value_of_a_key_is_one_group() -> None:
    assert totals("region") == {("eu",): 5, ("us",): 2, ("",): 8}


def test_a_group_is_a_combination_in_the_order_of_the_keys() -> None:
    combinations = {("a", "eu"): 1, ("a", "us"): 2, ("b", "eu"): 4, ("a", ""): 8}
    assert totals("model", "region") == combinations


def test_without_keys_all_usage_is_one_group() -> None:
    assert totals() == {(): 15}
    assert groups_of([], DIMENSIONS, ()) == {}
