"""Events as columns: the form in which a slice is stored, sent and folded.

The fields are those of tally.ingest.v1.SliceContent, which says what each holds. Encoding the
same events gives the same bytes; decoding gives the events back, with amounts and numbers too
large for two machine words in canonical form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import pack, unpack

from libs.tenant import Tenant
from services.ingest.domain.event import Event, LoggedEvent, PropertyValue, Unreadable
from services.ingest.domain.number import INT64_MAX, Number, parse_number


class Kind(IntEnum):
    """The kinds of property columns, in the order they have within one name."""

    TEXT = 1
    DECIMAL = 2
    LARGE_DECIMAL = 3
    FLAG = 4


@dataclass(frozen=True, slots=True)
class PropertyColumn:
    """The values of one property of one kind; `exponents` only of decimals."""

    name: str
    kind: Kind
    rows: bytes
    values: bytes
    exponents: bytes = b""


@dataclass(frozen=True, slots=True)
class Columns:
    """The events of one slice, by place in the segment."""

    event_count: int
    strings: tuple[str, ...]
    indexes: bytes
    tenants: bytes
    ids: tuple[str, ...]
    sources: bytes
    types: bytes
    customer_ids: bytes
    subscription_ids: bytes
    amounts: bytes
    hold_ids: bytes
    times: bytes
    times_given: bytes
    received_times: bytes
    properties: tuple[PropertyColumn, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events of a tenant to decode: the first `rows_max` of those that all fields choose.

    None does not choose. Times: start <= time < end.
    """

    tenant: Tenant
    id: str | None = None
    source: str | None = None
    type: str | None = None
    customer_id: str | None = None
    subscription_id: str | None = None
    start: int | None = None
    end: int | None = None
    after_index: int = -1
    rows_max: int | None = None


class _Strings:
    """Gives each string its place; the first one is "" """

    def __init__(self) -> None:
        self._places = {"": 0}

    def place(self, text: str) -> int:
        return self._places.setdefault(text, len(self._places))

    def all(self) -> tuple[str, ...]:
        return tuple(self._places)


def encode(logged: Sequence[LoggedEvent]) -> Columns:
    """Return the columns of `logged`, which is in the order of its indexes."""
    strings = _Strings()
    place = strings.place
    events = [entry.event for entry in logged]
    count = len(events)
    return Columns(
        event_count=count,
        indexes=pack(f"<{count}i", *(entry.index for entry in logged)),
        tenants=pack(f"<{count}i", *(entry.tenant for entry in logged)),
        ids=tuple(event.id for event in events),
        sources=pack(f"<{count}I", *(place(event.source) for event in events)),
        types=pack(f"<{count}I", *(place(event.type) for event in events)),
        customer_ids=pack(f"<{count}I", *(place(event.customer_id) for event in events)),
        subscription_ids=pack(f"<{count}I", *(place(event.subscription_id) for event in events)),
        amounts=pack(f"<{count}I", *(place(_amount_text(event)) for event in events)),
        hold_ids=pack(f"<{count}I", *(place(event.hold_id) for event in events)),
        times=pack(f"<{count}q", *(entry.time for entry in logged)),
        times_given=bytes(event.time is not None for event in events),
        received_times=pack(f"<{count}q", *(entry.received for entry in logged)),
        properties=_encode_properties(events, strings),
        strings=strings.all(),  # Last: by now every string has its place.
    )


def decode(columns: Columns, selection: Selection | None = None) -> list[LoggedEvent]:
    """Return the events of `columns`, or those of them that `selection` chooses."""
    rows: Sequence[int] = range(columns.event_count)
    if selection is not None:
        rows = _select(columns, selection)[: selection.rows_max]
    if not rows:
        return []
    properties = _decode_properties(columns, set(rows))
    strings = columns.strings
    tenants, indexes = _int32(columns.tenants), _int32(columns.indexes)
    sources, types = _uint32(columns.sources), _uint32(columns.types)
    customers, subscriptions = _uint32(columns.customer_ids), _uint32(columns.subscription_ids)
    amounts, holds = _uint32(columns.amounts), _uint32(columns.hold_ids)
    times, received = _int64(columns.times), _int64(columns.received_times)
    return [
        LoggedEvent(
            tenant=Tenant(tenants[row]),
            index=indexes[row],
            received=received[row],
            event=Event(
                id=columns.ids[row],
                source=strings[sources[row]],
                type=strings[types[row]],
                time=times[row] if columns.times_given[row] else None,
                customer_id=strings[customers[row]],
                subscription_id=strings[subscriptions[row]],
                properties=properties.get(row, {}),
                amount=parse_number(strings[amounts[row]]),
                hold_id=strings[holds[row]],
            ),
        )
        for row in rows
    ]


def _amount_text(event: Event) -> str:
    assert not isinstance(event.amount, Unreadable)
    return "" if event.amount is None else event.amount.canonical()


def _encode_properties(events: Sequence[Event], strings: _Strings) -> tuple[PropertyColumn, ...]:
    cells: defaultdict[tuple[str, Kind], list[tuple[int, PropertyValue]]] = defaultdict(list)
    for row, event in enumerate(events):
        for name, value in event.properties.items():
            cells[name, _kind_of(value)].append((row, value))
    return tuple(
        _encode_property(name, kind, cells[name, kind], strings) for name, kind in sorted(cells)
    )


def _kind_of(value: PropertyValue) -> Kind:
    match value:
        case str():
            return Kind.TEXT
        case Number():
            return Kind.LARGE_DECIMAL if value.fitting() is None else Kind.DECIMAL
        case bool():
            return Kind.FLAG
        case Unreadable():
            raise AssertionError("an event at fault is in no segment")


def _encode_property(
    name: str, kind: Kind, cells: Sequence[tuple[int, PropertyValue]], strings: _Strings
) -> PropertyColumn:
    count = len(cells)
    rows = pack(f"<{count}i", *(row for row, _ in cells))
    match kind:
        case Kind.TEXT:
            values = pack(f"<{count}I", *(strings.place(str(value)) for _, value in cells))
        case Kind.LARGE_DECIMAL:
            texts = (value.canonical() for _, value in cells if isinstance(value, Number))
            values = pack(f"<{count}I", *(strings.place(text) for text in texts))
        case Kind.FLAG:
            values = bytes(value is True for _, value in cells)
        case Kind.DECIMAL:
            numbers = [_fitting(value) for _, value in cells]
            values = pack(f"<{count}q", *(number.mantissa for number in numbers))
            exponents = pack(f"<{count}b", *(number.exponent for number in numbers))
            return PropertyColumn(name, kind, rows, values, exponents)
    return PropertyColumn(name, kind, rows, values)


def _fitting(value: PropertyValue) -> Number:
    assert isinstance(value, Number)
    fitting = value.fitting()
    assert fitting is not None
    return fitting


def _decode_properties(
    columns: Columns, wanted: set[int]
) -> defaultdict[int, dict[str, PropertyValue]]:
    found: defaultdict[int, dict[str, PropertyValue]] = defaultdict(dict)
    for column in columns.properties:
        rows = _int32(column.rows)
        for row, value in zip(rows, _property_values(column, columns.strings), strict=True):
            if row in wanted:
                found[row][column.name] = value
    return found


def _property_values(column: PropertyColumn, strings: Sequence[str]) -> Iterator[PropertyValue]:
    match column.kind:
        case Kind.TEXT:
            return (strings[place] for place in _uint32(column.values))
        case Kind.LARGE_DECIMAL:
            return (_large(strings[place]) for place in _uint32(column.values))
        case Kind.FLAG:
            return (flag == 1 for flag in column.values)
        case Kind.DECIMAL:
            exponents = unpack(f"<{len(column.exponents)}b", column.exponents)
            return map(Number, _int64(column.values), exponents)


def _large(text: str) -> Number:
    number = parse_number(text)
    assert number is not None
    return number


def _select(columns: Columns, selection: Selection) -> list[int]:
    """Return the rows that `selection` chooses, narrowed by one column after the other."""
    tenants, indexes = _int32(columns.tenants), _int32(columns.indexes)
    rows = [
        row
        for row in range(columns.event_count)
        if tenants[row] == selection.tenant and indexes[row] > selection.after_index
    ]
    if selection.id is not None:
        rows = [row for row in rows if columns.ids[row] == selection.id]
    for text, column in (
        (selection.source, columns.sources),
        (selection.type, columns.types),
        (selection.customer_id, columns.customer_ids),
        (selection.subscription_id, columns.subscription_ids),
    ):
        if text is not None:
            rows = _matching(rows, text, column, columns.strings)
    return _within(rows, columns, selection)


def _matching(rows: list[int], text: str, column: bytes, strings: Sequence[str]) -> list[int]:
    if text not in strings:
        return []
    place, places = strings.index(text), _uint32(column)
    return [row for row in rows if places[row] == place]


def _within(rows: list[int], columns: Columns, selection: Selection) -> list[int]:
    if selection.start is None and selection.end is None:
        return rows
    times = _int64(columns.times)
    start = -INT64_MAX if selection.start is None else selection.start
    end = INT64_MAX if selection.end is None else selection.end
    return [row for row in rows if start <= times[row] < end]


def _unpacker(code: str, size: int) -> Callable[[bytes], tuple[int, ...]]:
    return lambda packed: unpack(f"<{len(packed) // size}{code}", packed)


_int32, _uint32, _int64 = _unpacker("i", 4), _unpacker("I", 4), _unpacker("q", 8)
