"""Events as columns: how rating reads a slice of the log, and how it joins several."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from enum import IntEnum
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from libs.money import EXACT
from libs.quantity import decimal_text
from services.rating.domain.event import Correction, Moment, PropertyValue, UsageEvent

Ints = npt.NDArray[np.int64]
T = TypeVar("T", bound=tuple[Any, ...])

INT64_MAX = 2**63 - 1
PLACE_BITS = 32  # Of a place in the strings of a slice; a tenant has less.
PLACE_MASK = 2**PLACE_BITS - 1
# Powers of ten with which any 64-bit mantissa is a quantity: below 10^30, with 30 places at most.
EXPONENT_MIN, EXPONENT_MAX = -30, 11


class Kind(IntEnum):
    """What the values of a property column are."""

    TEXT = 1  # Places in the strings.
    DECIMAL = 2  # Mantissas, with an exponent each.
    LARGE_DECIMAL = 3  # Places in the strings, of decimals in canonical form.
    FLAG = 4  # 0 or 1.


@dataclass(frozen=True, slots=True)
class PropertyColumn:
    """The values of one property of one kind: `values` (and `exponents`) of the `rows` named."""

    name: str
    kind: Kind
    rows: Ints
    values: Ints
    exponents: Ints | None = None  # Of DECIMAL only.


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Events in log order, one a row; texts by their place in `strings`, whose first one is "".

    `times` are microseconds since 1970, `indexes` places in the segment, `amounts` places of
    canonical decimals, of "" where an event has none.
    """

    strings: Sequence[str]
    tenants: Ints
    customers: Ints
    subscriptions: Ints
    types: Ints
    times: Ints
    indexes: Ints
    amounts: Ints
    properties: Sequence[PropertyColumn]

    def __len__(self) -> int:
        return len(self.tenants)


@dataclass(frozen=True, slots=True)
class Slice:
    """The events of segment `number` of `shard` that fall on `partition`, in log order.

    `previous_number` is that of the partition's slice before it, 0 for none.
    """

    shard: int
    partition: int
    number: int
    previous_number: int
    traceparent: str
    columns: EventColumns
    corrections: Sequence[Correction] = ()


class Strings:
    """Gives each string its place; the first one is ""."""

    def __init__(self) -> None:
        self.places = {"": 0}

    def place(self, text: str) -> int:
        """Return the place of `text`, a new one if it has none yet."""
        return self.places.setdefault(text, len(self.places))

    def place_all(self, texts: Sequence[str]) -> Ints:
        """Return the places of `texts`."""
        places = self.places
        return ints([places.setdefault(text, len(places)) for text in texts])


def ints(values: Iterable[int]) -> Ints:
    """Return a column of `values`."""
    return np.array(list(values), dtype=np.int64)


def tuples(kind: type[T], *columns: Iterable[Any]) -> Iterator[T]:
    """Give rows of `columns` as named tuples: calling `kind` for each would take twice as long."""
    return map(partial(tuple.__new__, kind), zip(*columns, strict=False))


def customers_in(slices: Iterable[Slice]) -> set[tuple[int, str]]:
    """Return the customers of whom there are events or corrections, by tenant and customer id."""
    slices = list(slices)
    found = {
        (correction.tenant, customer_id)
        for piece in slices
        for correction in piece.corrections
        for customer_id, _ in correction.affected()
    }
    for columns in (piece.columns for piece in slices):
        pairs = np.unique(columns.tenants << PLACE_BITS | columns.customers).tolist()
        found |= {(pair >> PLACE_BITS, columns.strings[pair & PLACE_MASK]) for pair in pairs}
    return found


def without(columns: EventColumns, places: Collection[int]) -> EventColumns:
    """Return `columns` without the events at `places` of the segment."""
    kept = ~np.isin(columns.indexes, ints(places))
    rows = np.cumsum(kept) - 1
    known = {each.name: getattr(columns, each.name) for each in fields(columns)}
    narrowed: dict[str, Any] = {
        name: each[kept] for name, each in known.items() if isinstance(each, np.ndarray)
    }
    properties = []
    for column in columns.properties:
        chosen = kept[column.rows]
        exponents = column.exponents
        properties.append(
            replace(
                column,
                rows=rows[column.rows[chosen]],
                values=column.values[chosen],
                exponents=None if exponents is None else exponents[chosen],
            )
        )
    return replace(columns, properties=properties, **narrowed)


def columns_of(events: Sequence[UsageEvent]) -> EventColumns:
    """Return the columns of single events."""
    strings = Strings()
    cells: dict[tuple[str, Kind], list[tuple[int, int, int]]] = {}
    for row, event in enumerate(events):
        for name, value in event.properties.items():
            kind, number, exponent = encode(value, strings)
            cells.setdefault((name, kind), []).append((row, number, exponent))
    return EventColumns(
        tenants=ints(event.tenant for event in events),
        customers=ints(strings.place(event.customer_id) for event in events),
        subscriptions=ints(strings.place(event.subscription_id) for event in events),
        types=ints(strings.place(event.type) for event in events),
        times=ints(event.moment.time for event in events),
        indexes=ints(event.moment.place for event in events),
        amounts=ints(strings.place(_amount_text(event.amount)) for event in events),
        properties=[
            PropertyColumn(name, kind, *(ints(column) for column in zip(*rows, strict=True)))
            for (name, kind), rows in cells.items()
        ],
        strings=list(strings.places),  # Last: by now every string has its place.
    )


def split_decimal(value: Decimal) -> tuple[int, int] | None:
    """Return mantissa and exponent, if they fit a column and every such number is a quantity."""
    if not value:
        return 0, 0
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits)))
    if mantissa > INT64_MAX or not EXPONENT_MIN <= exponent <= EXPONENT_MAX:
        return None
    return (-mantissa if sign else mantissa), exponent


def join_decimal(mantissa: int, exponent: int) -> Decimal:
    """Return mantissa * 10^exponent, with just these digits."""
    number = Decimal(mantissa)
    return EXACT.scaleb(number, exponent) if exponent else number


def read_value(column: PropertyColumn, at: int, strings: Sequence[str]) -> PropertyValue:
    """Return the value number `at` of a column."""
    value = int(column.values[at])
    match column.kind:
        case Kind.TEXT:
            return strings[value]
        case Kind.LARGE_DECIMAL:
            return Decimal(strings[value])
        case Kind.FLAG:
            return value == 1
        case Kind.DECIMAL:
            assert column.exponents is not None
            return join_decimal(value, int(column.exponents[at]))


def event_at(columns: EventColumns, row: int, *, shard: int, number: int) -> UsageEvent:
    """Return one event of a slice of segment `number`."""
    strings, properties = columns.strings, {}
    for column in columns.properties:
        at = int(np.searchsorted(column.rows, row))
        if at < len(column.rows) and column.rows[at] == row:
            properties[column.name] = read_value(column, at, strings)
    return UsageEvent(
        tenant=int(columns.tenants[row]),
        customer_id=strings[columns.customers[row]],
        subscription_id=strings[columns.subscriptions[row]],
        type=strings[columns.types[row]],
        moment=Moment(int(columns.times[row]), shard, number, int(columns.indexes[row])),
        properties=properties,
        amount=read_amount(strings[columns.amounts[row]]),
    )


def read_amount(text: str) -> Decimal | None:
    """Return the amount that an event carries, None if it carries none."""
    return Decimal(text) if text else None


def _amount_text(amount: Decimal | None) -> str:
    return "" if amount is None else decimal_text(amount)


def encode(value: PropertyValue, strings: Strings) -> tuple[Kind, int, int]:
    """Return the kind of column that `value` belongs in, its number there, and exponent."""
    if isinstance(value, bool):
        return Kind.FLAG, int(value), 0
    if isinstance(value, str):
        return Kind.TEXT, strings.place(value), 0
    split = split_decimal(value)
    if split is None:
        return Kind.LARGE_DECIMAL, strings.place(decimal_text(value)), 0
    return Kind.DECIMAL, *split
