"""Parquet: columns of exact types, whose names are those of fields and properties."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from cli.events.event import EPOCH, FileFault, Row, RowFault, Unreadable
from cli.events.fields import PROPERTIES, RECEIVED, TIME, Reading
from cli.events.json_rows import parse_object
from libs.quantity import decimal_text

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 5_000
# How many microseconds a unit has, or how many units a microsecond has.
MICROS = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}

Convert = Callable[[Any], object]


class Unfit(Exception):
    """A column's type cannot be read; the message says why."""


def arrow(module: str = "pyarrow") -> Any:
    """Return a module of pyarrow, which is large, and not everywhere.

    Raises:
        FileFault: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise FileFault(
            "Parquet needs pyarrow: `make setup` in a clone, else `pip install pyarrow`"
        ) from None


def read_parquet(
    content: BinaryIO, reading: Reading, *, after: int = 0
) -> Generator[Row | Unreadable]:
    """Give the rows, without the first `after` of them; what is null says nothing.

    Raises:
        FileFault: it is no Parquet, or has columns that mean nothing or are not exact.
    """
    pyarrow, parquet = arrow(), arrow("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(content)
        schema = file.schema_arrow
    except pyarrow.ArrowException as error:
        raise FileFault(f"no Parquet: {error}") from None
    reading.check_names(schema.names)
    wanted = [name for name in schema.names if any(reading.target(name))]
    converts = _converts(pyarrow, {name: schema.field(name).type for name in wanted}, reading)
    first = 1
    try:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
            skipped = min(max(0, after + 1 - first), batch.num_rows)
            yield from _rows(batch.slice(skipped), first + skipped, converts)
            first += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise FileFault(f"row {first}: cannot be read on: {error}") from None


def _rows(
    batch: pyarrow.RecordBatch, first: int, converts: dict[str, Convert]
) -> Generator[Row | Unreadable]:
    names = batch.schema.names
    columns = [_listed(column) for column in batch.columns]
    for row, cells in enumerate(zip(*columns, strict=True), start=first):
        try:
            yield Row(
                row,
                {
                    name: converts[name](cell)
                    for name, cell in zip(names, cells, strict=True)
                    if cell is not None
                },
            )
        except RowFault as fault:
            yield Unreadable(row, "", str(fault))


def _listed(column: Any) -> Sequence[Any]:
    """Return a column's values; timestamps as whole numbers of their unit, which are exact."""
    is_time = str(column.type).startswith("timestamp")
    listed: Sequence[Any] = (column.cast("int64") if is_time else column).to_pylist()
    return listed


def _converts(
    pyarrow: Any, types: dict[str, pyarrow.DataType], reading: Reading
) -> dict[str, Convert]:
    """Return how to make a value of a cell, by column.

    Raises:
        FileFault: columns have types that are not exact, or no values of events.
    """
    found: dict[str, Convert] = {}
    faults: list[str] = []
    for name, type in types.items():
        target = reading.target(name).name
        try:
            if target == PROPERTIES:
                found[name] = _of_properties(pyarrow, type)
            elif target in (TIME, RECEIVED) and pyarrow.types.is_timestamp(type):
                found[name] = _of_time(type)
            else:
                found[name] = _of_value(pyarrow, type)
        except Unfit as unfit:
            faults.append(f"{name}: {unfit}")
    if faults:
        raise FileFault("; ".join(faults))
    return found


def _of_value(pyarrow: Any, type: Any) -> Convert:
    types = pyarrow.types
    if types.is_dictionary(type):
        return _of_value(pyarrow, type.value_type)
    if types.is_decimal(type):
        return _decimal
    if types.is_integer(type) or types.is_boolean(type) or types.is_null(type):
        return _same
    if types.is_string(type) or types.is_large_string(type) or types.is_string_view(type):
        return _same
    if types.is_floating(type):
        raise Unfit(f"{type} is not exact: write it as a decimal or as text")
    raise Unfit(f"{type} is no text, decimal, whole number, true or false")


def _of_properties(pyarrow: Any, type: Any) -> Convert:
    types = pyarrow.types
    if types.is_struct(type):
        fields = [type.field(place) for place in range(type.num_fields)]
        converts = {field.name: _of_value(pyarrow, field.type) for field in fields}
        return lambda cell: _given(converts.__getitem__, cell.items())
    if types.is_map(type):
        convert = _of_value(pyarrow, type.item_type)
        return lambda cell: _given(lambda _: convert, _once(cell))
    if types.is_string(type) or types.is_large_string(type):
        return parse_object
    raise Unfit(f"{type} is no struct, map, or JSON text")


def _given(convert: Callable[[str], Convert], pairs: Any) -> dict[str, object]:
    return {key: convert(key)(value) for key, value in pairs if value is not None}


def _once(pairs: Sequence[tuple[str, object]]) -> Sequence[tuple[str, object]]:
    if len(dict(pairs)) != len(pairs):
        raise RowFault("properties: a key is given twice")
    return pairs


def _of_time(type: Any) -> Convert:
    factor, divisor = MICROS[type.unit]

    def convert(cell: int) -> object:
        micros, rest = divmod(cell * factor, divisor)
        if rest:
            raise RowFault("time: finer than a microsecond")
        try:
            instant = EPOCH + timedelta(microseconds=micros)
        except OverflowError:
            _raise_far(micros)
        return instant if type.tz else instant.replace(tzinfo=None)

    return convert


def _raise_far(micros: int) -> NoReturn:
    raise RowFault(f"time: {micros} µs since 1970 lie outside the years 1 to 9999") from None


def _same(cell: object) -> object:
    return cell


def _decimal(cell: Decimal) -> Decimal:
    """Drop the zeros that only the column's scale asks for."""
    return Decimal(decimal_text(cell))
