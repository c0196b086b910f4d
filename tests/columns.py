"""Events as columns, the slow and plain way: what each column says can be seen at a glance."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from tally.ingest.v1.event_columns_pb2 import EventColumns, PropertyValues
from tally.ingest.v1.event_pb2 import Event, PropertyValue

PLAIN = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]{1,30}))?", re.ASCII)
INT64_MAX = 2**63 - 1


def columns_of(events: Sequence[Event]) -> EventColumns:
    """Return `events` as columns. Their times are whole microseconds, within 64 bits."""
    places: dict[str, int] = {"": 0}

    def place(text: str) -> int:
        return places.setdefault(text, len(places))

    columns = EventColumns(
        ids=[event.id for event in events],
        sources=[place(event.source) for event in events],
        types=[place(event.type) for event in events],
        customer_ids=[place(event.customer_id) for event in events],
        subscription_ids=[place(event.subscription_id) for event in events],
        amounts=[place(event.amount) for event in events],
        hold_ids=[place(event.hold_id) for event in events],
        times=[event.time.seconds * 10**6 + event.time.nanos // 1_000 for event in events],
        untimed=[index for index, event in enumerate(events) if not event.HasField("time")],
    )
    found: defaultdict[tuple[str, str | None], list[tuple[int, PropertyValue]]] = defaultdict(list)
    for index, event in enumerate(events):
        for key, value in event.properties.items():
            found[key, form_of(value)].append((index, value))
    for (key, form), values in found.items():
        indexes = [index for index, _ in values]
        column = columns.properties.add(key=key, indexes=indexes)
        match form:
            case "texts":
                column.texts.places.extend(place(value.text) for _, value in values)
            case "decimals":
                for _, value in values:
                    mantissa, exponent = mantissa_of(value.decimal)
                    column.decimals.mantissas.append(mantissa)
                    column.decimals.exponents.append(exponent)
            case "decimal_texts":
                column.decimal_texts.places.extend(place(value.decimal) for _, value in values)
            case "flags":
                column.flags.flags.extend(value.flag for _, value in values)
    columns.texts.extend(places)
    return columns


def short(columns: EventColumns) -> EventColumns:
    """Return the same columns without what may be left out."""
    columns = EventColumns.FromString(columns.SerializeToString())
    events = len(columns.ids)
    for field in ("sources", "types", "customer_ids", "subscription_ids", "amounts", "hold_ids"):
        column = getattr(columns, field)
        if not any(column):
            del column[:]
        elif len(set(column)) == 1:
            del column[1:]
    if len(columns.untimed) == events:
        del columns.times[:], columns.untimed[:]
    for values in columns.properties:
        if len(values.indexes) == events:
            del values.indexes[:]
        _shorten_exponents(values)
    return columns


def _shorten_exponents(values: PropertyValues) -> None:
    if values.WhichOneof("values") == "decimals":
        exponents = values.decimals.exponents
        if not any(exponents):
            del exponents[:]
        elif len(set(exponents)) == 1:
            del exponents[1:]


def form_of(value: PropertyValue) -> str | None:
    """Return the field of PropertyValues that takes `value`."""
    match value.WhichOneof("kind"):
        case "text":
            return "texts"
        case "flag":
            return "flags"
        case "decimal":
            plain = PLAIN.fullmatch(value.decimal)
            if plain is None or abs(mantissa_of(value.decimal)[0]) > INT64_MAX:
                return "decimal_texts"
            # "-0" is no mantissa.
            return "decimals" if not plain[1] or mantissa_of(value.decimal)[0] else "decimal_texts"
        case _:
            return None


def mantissa_of(plain: str) -> tuple[int, int]:
    """Return mantissa and exponent of a plain decimal: 150 and -2 for "1.50"."""
    whole, _, places = plain.partition(".")
    return int(whole + places), -len(places)
