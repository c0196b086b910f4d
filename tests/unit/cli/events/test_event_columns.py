"""Events are sent as columns that leave out what is the same for all."""

from __future__ import annotations

from decimal import Decimal

from cli.events.event import Event
from cli.events.event_columns import event_columns

ONE = Event(
    "a", "gw", "call", 1_500_000, "acme", "", {"model": "gw", "n": Decimal("1.50")}, None, ""
)


def test_what_is_the_same_for_all_is_said_once() -> None:
    two = ONE._replace(id="b", customer_id="beta", time=2_000_000)
    columns = event_columns([ONE, two])
    assert list(columns.texts) == ["", "gw", "call", "acme", "beta"]
    assert list(columns.ids) == ["a", "b"]
    assert (list(columns.sources), list(columns.customer_ids)) == ([1], [3, 4])
    assert not columns.subscription_ids and not columns.amounts and not columns.untimed
    assert list(columns.times) == [1_500_000, 2_000_000]
    model, number = columns.properties
    assert (model.key, list(model.indexes), list(model.texts.places)) == ("model", [], [1, 1])
    assert (list(number.decimals.mantissas), list(number.decimals.exponents)) == ([150, 150], [-2])


def test_what_differs_is_said_of_each() -> None:
    two = Event(
        "b",
        "",
        "call",
        None,
        "acme",
        "s",
        {"n": Decimal("1E+2"), "model": True, "k": Decimal(5)},
        Decimal("-1.5"),
        "h",
    )
    columns = event_columns([ONE, two, two._replace(id="c", properties={"k": Decimal("-0.05")})])
    assert list(columns.untimed) == [1, 2] and list(columns.times) == [1_500_000, 0, 0]
    assert [columns.texts[place] for place in columns.amounts] == ["", "-1.5", "-1.5"]
    by_name = {(one.key, one.WhichOneof("values")): one for one in columns.properties}
    assert list(by_name["model", "flags"].indexes) == [1]
    written = by_name["n", "decimal_texts"]
    assert [columns.texts[place] for place in written.decimal_texts.places] == ["1.50", "1E+2"]
    small = by_name["k", "decimals"]
    assert (list(small.decimals.mantissas), list(small.decimals.exponents)) == ([5, -5], [0, -2])
    assert list(small.indexes) == [1, 2]


def test_without_any_time_no_column_says_so() -> None:
    columns = event_columns([ONE._replace(time=None)])
    assert not columns.times and not columns.untimed
