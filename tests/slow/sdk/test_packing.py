"""What a producer packs into columns says exactly what was recorded; the rest is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Module = Callable[[str], Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS_MAX = 18

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = texts.filter(bool)
decimals = st.one_of(
    st.integers(-(10**30) + 1, 10**30 - 1),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-99, max_value=99),
    st.builds(
        lambda mantissa, places: Decimal(mantissa).scaleb(-places),
        st.integers(-(10**25), 10**25),
        st.integers(0, 30),
    ),
    st.sampled_from([Decimal("1E+29"), Decimal("-0.00"), Decimal("1.50"), Decimal("1E-30")]),
)
times = st.datetimes(timezones=st.just(UTC))
events = st.fixed_dictionaries(
    {
        "id": names,
        "source": texts,
        "type": st.sampled_from(["call", "chat"]) | names,
        "customer_id": st.sampled_from(["acme", "umbrella"]) | names,
        "subscription_id": texts,
        "amount": st.none() | decimals,
        "hold_id": texts,
        "time": st.none() | times,
        "properties": st.dictionaries(
            st.sampled_from(["model", "tokens", "cached", ""]) | texts,
            st.one_of(texts, decimals, st.booleans()),
            max_size=5,
        ),
    }
)


@given(batch=st.lists(events, min_size=1, max_size=8))
@settings(deadline=None)
def test_events_that_are_packed_and_unpacked_are_the_same(
    client_module: Module, batch: list[dict[str, Any]]
) -> None:
    sent = client_module("_packing").pack([row(client_module, event) for event in batch])
    received = client_module("ingest.v1").EventColumns.FromString(sent.SerializeToString())
    unpacked = unpack(received)
    assert unpacked == batch
    assert [flags_of(event) for event in unpacked] == [flags_of(event) for event in batch]


def test_what_repeats_is_sent_once(client_module: Module) -> None:
    event = {"type": "call", "customer_id": "acme", "properties": {"tokens": Decimal("1.5")}}
    rows = [row(client_module, event | {"id": name}) for name in ("a", "b", "c")]
    columns = client_module("_packing").pack(rows)
    assert list(columns.texts) == ["", "call", "acme"]
    assert (list(columns.types), list(columns.customer_ids)) == ([1], [2])
    assert not columns.sources and not columns.times and not columns.untimed
    (tokens,) = columns.properties
    assert list(tokens.decimals.exponents) == [-1] and not tokens.indexes


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"type": ""}, "type is missing"),
        ({"customer_id": 7}, "customer_id is of int: give str"),
        ({"id": "é" * 128}, "id has 256 bytes, at most 255 are allowed"),
        ({"source": "\ud800"}, "source is no text: surrogates not allowed"),
        ({"time": datetime(2026, 1, 1)}, "time has no zone"),
        ({"time": 1_767_225_600}, "time is of int: give a datetime with a zone"),
        ({"amount": 0.5}, "amount is a float, 0.5, which is not exact: give a Decimal"),
        ({"amount": "0.5"}, "amount is of str: give Decimal or int"),
        ({"properties": {"tokens": 0.1}}, "properties.tokens is a float, 0.1"),
        ({"properties": {"tokens": Decimal("NaN")}}, "properties.tokens is NaN"),
        ({"properties": {"tokens": 10**30}}, "properties.tokens is not below 10^30"),
        ({"properties": {"tokens": Decimal("1E-31")}}, "properties.tokens has 31 places"),
        ({"properties": {"model": None}}, "properties.model is of NoneType"),
        ({"properties": {"model": "\ud800"}}, "properties.model is no text"),
        ({"properties": {7: "x"}}, "properties.7 has a key of int: give str"),
        ({"properties": ["model"]}, "properties is of list: give a mapping"),
    ],
)
def test_what_cannot_be_sent_as_it_is_is_refused_by_name(
    client_module: Module, fault: dict[str, Any], told: str
) -> None:
    event = {"id": "a", "type": "call", "customer_id": "acme"} | fault
    with pytest.raises(client_module("producing").InvalidEvent) as refused:
        row(client_module, event)
    assert str(refused.value).startswith(told)


def test_all_faults_are_told_at_once(client_module: Module) -> None:
    event = {"id": "a", "type": "", "customer_id": "acme", "properties": {"a": 1.5, "b": 2.5}}
    with pytest.raises(client_module("producing").InvalidEvent) as refused:
        row(client_module, event)
    fields = [one.field for one in refused.value.field_violations]
    assert fields == ["type", "properties.a", "properties.b"]


def test_ids_are_distinct_uuids_of_version_7_in_the_order_of_time(client_module: Module) -> None:
    maker = client_module("_uuid7").Uuid7()
    made = [UUID(maker.make()) for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert {one.version for one in made} == {7}
    millis = [one.int >> 80 for one in made]
    assert millis == sorted(millis)
    now = datetime.now(UTC) - EPOCH
    assert abs(timedelta(milliseconds=millis[-1]) - now) < timedelta(minutes=1)


def row(client_module: Module, event: dict[str, Any]) -> Any:
    """Read an event as a producer does."""
    fields = ("id", "source", "type", "customer_id", "subscription_id", "hold_id")
    said = tuple(event.get(field, "") for field in fields)
    rest = (event.get("amount"), event.get("time"), event.get("properties"))
    return client_module("_event_rows").read_event(said, *rest, None)[0]


def flags_of(event: dict[str, Any]) -> set[str]:
    """Return the keys of properties that are true or false; True equals 1."""
    return {key for key, value in event["properties"].items() if isinstance(value, bool)}


def unpack(columns: Any) -> list[dict[str, Any]]:
    """Read columns event by event, as the contract has them."""
    count, untimed = len(columns.ids), set(columns.untimed)

    def text(places: Any, index: int) -> str:
        if not places:
            return ""
        return str(columns.texts[places[0 if len(places) == 1 else index]])

    def time(index: int) -> datetime | None:
        if not columns.times or index in untimed:
            return None
        return EPOCH + timedelta(microseconds=columns.times[index])

    assert len(columns.times) in (0, count)
    unpacked: list[dict[str, Any]] = [
        {
            "id": columns.ids[index],
            "source": text(columns.sources, index),
            "type": text(columns.types, index),
            "customer_id": text(columns.customer_ids, index),
            "subscription_id": text(columns.subscription_ids, index),
            "amount": Decimal(said) if (said := text(columns.amounts, index)) else None,
            "hold_id": text(columns.hold_ids, index),
            "time": time(index),
            "properties": {},
        }
        for index in range(count)
    ]
    for column in columns.properties:
        indexes = list(column.indexes) or list(range(count))
        for index, value in zip(indexes, values(column, columns.texts), strict=True):
            assert column.key not in unpacked[index]["properties"]
            unpacked[index]["properties"][column.key] = value
    return unpacked


def values(column: Any, sent: Any) -> list[Any]:
    """Return the values of one property."""
    match column.WhichOneof("values"):
        case "texts":
            return [sent[place] for place in column.texts.places]
        case "flags":
            return list(column.flags.flags)
        case "decimal_texts":
            return [Decimal(sent[place]) for place in column.decimal_texts.places]
        case _:
            mantissas, exponents = column.decimals.mantissas, list(column.decimals.exponents)
            assert all(abs(mantissa) < 10**DIGITS_MAX for mantissa in mantissas)
            if len(exponents) < 2:
                exponents = (exponents or [0]) * len(mantissas)
            pairs = zip(mantissas, exponents, strict=True)
            return [Decimal(f"{mantissa}e{exponent}") for mantissa, exponent in pairs]
