"""Events as Parquet: typed columns, decimals exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

import msgspec

from cli.events.columns import Columns, Digits, Property, column_name, kind_of
from cli.events.fetching import StoredEvent
from cli.events.fields import AMOUNT, PROPERTIES, RECEIVED, TIME, Kind
from cli.events.parquet_rows import arrow

ROWS_OF_GROUP = 20_000
SMALL_DIGITS_MAX, DIGITS_MAX = 38, 76

_encode = msgspec.json.Encoder(decimal_format="number").encode
Cell = Callable[[StoredEvent], object]


def write_parquet(target: BinaryIO, columns: Columns, events: Iterable[StoredEvent]) -> None:
    """Write a row for each event, in groups of 20,000."""
    pyarrow, parquet = arrow(), arrow("pyarrow.parquet")
    made = _columns(pyarrow, columns)
    schema = pyarrow.schema([(name, type) for name, type, _ in made])
    rows = iter(events)
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        while group := list(islice(rows, ROWS_OF_GROUP)):
            arrays = [
                pyarrow.array([cell(stored) for stored in group], type) for _, type, cell in made
            ]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))


def _columns(pyarrow: Any, columns: Columns) -> list[tuple[str, Any, Cell]]:
    """Return name, type and content of each column."""
    made = [_field(pyarrow, name, columns) for name in columns.field_names]
    made += [
        _property(pyarrow, one, columns.properties[one], columns) for one in columns.property_names
    ]
    if columns.has_rest:
        made.append((PROPERTIES, pyarrow.string(), lambda stored: _rest(columns, stored)))
    return made


def _field(pyarrow: Any, name: str, columns: Columns) -> tuple[str, Any, Cell]:
    moment = pyarrow.timestamp("us", "UTC")
    if name == TIME:
        return name, moment, lambda stored: stored.event.time
    if name == RECEIVED:
        return name, moment, lambda stored: stored.received if stored.event.time is None else None
    if name == AMOUNT:
        type = _decimal(pyarrow, columns.amounts)
        if type is None:
            return name, pyarrow.string(), lambda stored: _plain(stored.event.amount)
        return name, type, lambda stored: stored.event.amount
    return name, pyarrow.string(), lambda stored: getattr(stored.event, name) or None


def _property(
    pyarrow: Any, one: Property, digits: Digits, columns: Columns
) -> tuple[str, Any, Cell]:
    key, kind = one

    def cell(stored: StoredEvent) -> Any:
        value = stored.event.properties.get(key)
        return value if value not in (None, "") and kind_of(value) is kind else None

    others = [Property(key, other) for other in Kind if other is not kind]
    alone = not any(other in columns.properties for other in others)
    name = column_name(one, unnamed=kind if alone else None)
    match kind:
        case Kind.TEXT:
            return name, pyarrow.string(), cell
        case Kind.FLAG:
            return name, pyarrow.bool_(), cell
        case Kind.DECIMAL:
            type = _decimal(pyarrow, digits)
            if type is None:  # Such decimals are written as text, which the name says then.
                named = column_name(one, unnamed=None)
                return named, pyarrow.string(), lambda stored: _plain(cell(stored))
            return name, type, cell


def _decimal(pyarrow: Any, digits: Digits) -> Any:
    """Return a type that holds decimals of so many digits; None if there is none."""
    precision = digits.whole + digits.places
    if precision <= SMALL_DIGITS_MAX:
        return pyarrow.decimal128(precision, digits.places)
    return pyarrow.decimal256(precision, digits.places) if precision <= DIGITS_MAX else None


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _rest(columns: Columns, stored: StoredEvent) -> str | None:
    rest = columns.rest(stored.event.properties)
    return _encode(rest).decode() if rest else None
