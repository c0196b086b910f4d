"""Events as CSV: a column for each field and property that occurs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from decimal import Decimal
from typing import BinaryIO

import msgspec

from cli.events.columns import Columns, Property, column_name
from cli.events.event import Value
from cli.events.fetching import StoredEvent
from cli.events.fields import PROPERTIES, Kind
from cli.events.json_writing import json_object

_encode = msgspec.json.Encoder(decimal_format="number").encode


def write_csv(target: BinaryIO, columns: Columns, events: Iterable[StoredEvent]) -> None:
    """Write a header and a row for each event. What is no text says so in its column's name."""
    text = io.TextIOWrapper(target, "utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    fields, properties = columns.field_names, columns.property_names
    names = [*fields, *(column_name(one, unnamed=Kind.TEXT) for one in properties)]
    writer.writerow([*names, PROPERTIES] if columns.has_rest else names)
    for stored in events:
        found, own = json_object(stored), stored.event.properties
        cells = [_cell(found.get(name)) for name in fields]
        cells += [_property_cell(one, own.get(one.key)) for one in properties]
        if columns.has_rest:
            rest = columns.rest(own)
            cells.append(_encode(rest).decode() if rest else "")
        writer.writerow(cells)
    text.detach()


def _property_cell(one: Property, value: Value | None) -> str:
    if value is None or isinstance(value, str) != (one.kind is Kind.TEXT):
        return ""
    return "" if isinstance(value, bool) != (one.kind is Kind.FLAG) else _cell(value)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
