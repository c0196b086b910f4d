"""From rows of events to columns, as tally/ingest/v1/event_columns.proto has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tally_client._event_rows import Long, Row, Scaled, Value
from tally_client.ingest.v1 import Event, EventColumns, PropertyValue, PropertyValues

Values = defaultdict[str, dict[int, Any]]  # By the property's key, then by the event's index.


class Texts(dict[str, int]):
    """The place of each text, from 0; one that is asked for first is added at the end."""

    def __missing__(self, text: str) -> int:
        self[text] = place = len(self)
        return place


def pack(rows: Sequence[Row]) -> EventColumns:
    """Return the events as columns; there must be one at least."""
    texts = Texts({"": 0})
    ids, sources, types, customers, subscriptions, amounts, holds, times, properties = zip(
        *rows, strict=True
    )
    columns = EventColumns(
        ids=ids,
        sources=_places(sources, texts),
        types=_places(types, texts),
        customer_ids=_places(customers, texts),
        subscription_ids=_places(subscriptions, texts),
        amounts=_places(amounts, texts),
        hold_ids=_places(holds, texts),
    )
    _pack_times(times, columns)
    _pack_properties(properties, texts, columns)
    columns.texts.extend(texts)
    return columns


def event_of(row: Row) -> Event:
    """Return the event as a message."""
    event = Event(
        id=row.id,
        source=row.source,
        type=row.type,
        customer_id=row.customer_id,
        subscription_id=row.subscription_id,
        amount=row.amount,
        hold_id=row.hold_id,
    )
    if row.time is not None:
        event.time.FromMicroseconds(row.time)
    for key, value in row.properties.items():
        event.properties[key].CopyFrom(_value_of(value))
    return event


def _value_of(value: Value) -> PropertyValue:
    match value:
        case bool():
            return PropertyValue(flag=value)
        case Scaled(mantissa, exponent):
            return PropertyValue(decimal=f"{mantissa}e{exponent}")
        case str() if type(value) is str:
            return PropertyValue(text=value)
        case _:
            return PropertyValue(decimal=str(value))


def _places(column: tuple[str, ...], texts: Texts) -> Iterable[int]:
    """Return a place for each text, or one if all are the same, or none if all are empty."""
    if column.count(column[0]) == len(column):
        return (texts[column[0]],) if column[0] else ()
    return map(texts.__getitem__, column)


def _pack_times(times: tuple[int | None, ...], columns: EventColumns) -> None:
    untimed = [index for index, time in enumerate(times) if time is None]
    if len(untimed) < len(times):
        columns.untimed.extend(untimed)
        columns.times.extend([time or 0 for time in times])


def _pack_properties(
    properties: tuple[dict[str, Value], ...], texts: Texts, columns: EventColumns
) -> None:
    kinds: dict[type, Values] = {kind: defaultdict(dict) for kind in (str, int, bool, Scaled, Long)}
    for index, event in enumerate(properties):
        for key, value in event.items():
            kinds[value.__class__][key][index] = value
    for kind, by_key in kinds.items():
        for key, values in by_key.items():
            indexes = values if len(values) < len(properties) else ()
            column = columns.properties.add(key=key, indexes=indexes)
            _pack_values(kind, values.values(), texts, column)


def _pack_values(kind: type, values: Collection[Any], texts: Texts, column: PropertyValues) -> None:
    if kind is str:
        column.texts.places.extend(map(texts.__getitem__, values))
    elif kind is int:
        column.decimals.mantissas.extend(values)
    elif kind is bool:
        column.flags.flags.extend(values)
    elif kind is Scaled:
        mantissas, exponents = zip(*values, strict=True)
        same = exponents.count(exponents[0]) == len(exponents)
        column.decimals.mantissas.extend(mantissas)
        column.decimals.exponents.extend(exponents[:1] if same else exponents)
    else:
        column.decimal_texts.places.extend(map(texts.__getitem__, values))
