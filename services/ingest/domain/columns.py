"""Events as columns: the form in which a slice is stored, sent and folded.

The fields are those of tally.ingest.v1.SliceContent, which says what each holds. `encoding` makes
them; decoding gives the events back, with amounts and numbers too large for two machine words in
canonical form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import unpack

from libs.tenant import Tenant
from services.ingest.domain.event import Event, LoggedEvent, PropertyValue
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
    hidden: frozenset[int] = frozenset()  # Places in the segment of events that were corrected.
    rows_max: int | None = None

    def chooses(self, event: Event, time: int) -> bool:
        """Tell whether it chooses an event that happened at `time`, wherever it lies."""
        wanted = (
            (self.id, event.id),
            (self.source, event.source),
            (self.type, event.type),
            (self.customer_id, event.customer_id),
            (self.subscription_id, event.subscription_id),
        )
        return (
            all(text is None or text == own for text, own in wanted)
            and (self.start is None or self.start <= time)
            and (self.end is None or time < self.end)
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
            place=indexes[row],
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
    if selection.hidden:
        rows = [row for row in rows if indexes[row] not in selection.hidden]
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
