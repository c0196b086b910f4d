"""Events as columns: the form in which a slice is stored, sent and folded.

The fields are those of tally.ingest.v1.SliceContent, which says what each holds. `encoding` makes
them; decoding gives the events back, with amounts and numbers too large for two machine words in
canonical form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.planes import from_planes
from libs.tenant import Tenant
from services.ingest.domain.event import Event, LoggedEvent, PropertyValue
from services.ingest.domain.number import Number, parse_number
from services.ingest.domain.uuids import UUID_BYTES, uuid_texts
from services.ingest.domain.wire import Flags, Octets

Column = NDArray[Any]  # Of numbers.

INT8, UINT8, INT32, UINT32, INT64 = "<i1", "<u1", "<i4", "<u4", "<i8"
UUID = f"V{UUID_BYTES}"


class Kind(IntEnum):
    """The kinds of property columns, in the order they have within one name."""

    TEXT = 1
    DECIMAL = 2
    LARGE_DECIMAL = 3
    FLAG = 4


@dataclass(frozen=True, slots=True)
class PropertyColumn:
    """The values of one property of one kind; `exponents` only of decimals.

    `rows` are b"" if every event has one.
    """

    name: str
    kind: Kind
    rows: bytes
    values: bytes
    exponents: bytes = b""


@dataclass(frozen=True, slots=True)
class Columns:
    """The events of one slice, by place in the segment.

    Of the ids `uuids` has those that are UUIDs in lower case, `ids` the others, of `id_rows`.
    """

    event_count: int
    strings: tuple[str, ...]
    indexes: bytes
    tenants: bytes
    uuids: bytes
    ids: tuple[str, ...]
    id_rows: bytes
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
    strings, ids = columns.strings, read_ids(columns)
    tenants, indexes = _list(columns.tenants, INT32), _list(columns.indexes, INT32)
    sources, types = _list(columns.sources, UINT32), _list(columns.types, UINT32)
    customers = _list(columns.customer_ids, UINT32)
    subscriptions = _list(columns.subscription_ids, UINT32)
    amounts, holds = _list(columns.amounts, UINT32), _list(columns.hold_ids, UINT32)
    times, received = _list(columns.times, INT64), _list(columns.received_times, INT64)
    return [
        LoggedEvent(
            tenant=Tenant(tenants[row]),
            place=indexes[row],
            received=received[row],
            event=Event(
                id=ids[row],
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


def read_ids(columns: Columns) -> Sequence[str]:
    """Return the ids of all events, by row."""
    uuids = from_planes(columns.uuids, UUID)
    if not len(uuids):
        return columns.ids
    texts = uuid_texts(_octets(uuids))
    if not columns.ids:
        return texts
    given = iter(texts)
    others = dict(zip(_list(columns.id_rows, INT32), columns.ids, strict=True))
    return [others[row] if row in others else next(given) for row in range(columns.event_count)]


def _octets(uuids: Column) -> Octets:
    return uuids.view(np.uint8).reshape(-1, UUID_BYTES)


def _decode_properties(
    columns: Columns, wanted: set[int]
) -> defaultdict[int, dict[str, PropertyValue]]:
    found: defaultdict[int, dict[str, PropertyValue]] = defaultdict(dict)
    for column in columns.properties:
        rows = _list(column.rows, INT32) if column.rows else range(columns.event_count)
        for row, value in zip(rows, _property_values(column, columns.strings), strict=True):
            if row in wanted:
                found[row][column.name] = value
    return found


def _property_values(column: PropertyColumn, strings: Sequence[str]) -> Iterator[PropertyValue]:
    match column.kind:
        case Kind.TEXT:
            return (strings[place] for place in _list(column.values, UINT32))
        case Kind.LARGE_DECIMAL:
            return (_large(strings[place]) for place in _list(column.values, UINT32))
        case Kind.FLAG:
            return (flag == 1 for flag in _list(column.values, UINT8))
        case Kind.DECIMAL:
            return map(Number, _list(column.values, INT64), _list(column.exponents, INT8))


def _large(text: str) -> Number:
    number = parse_number(text)
    assert number is not None
    return number


def _select(columns: Columns, selection: Selection) -> list[int]:
    """Return the rows that `selection` chooses."""
    indexes = from_planes(columns.indexes, INT32)
    chosen: Flags = from_planes(columns.tenants, INT32) == selection.tenant
    chosen &= indexes > selection.after_index
    if selection.hidden:
        chosen &= ~np.isin(indexes, list(selection.hidden))
    for text, column in (
        (selection.source, columns.sources),
        (selection.type, columns.types),
        (selection.customer_id, columns.customer_ids),
        (selection.subscription_id, columns.subscription_ids),
    ):
        if text is not None:
            chosen &= _equal(column, text, columns.strings)
    if selection.start is not None:
        chosen &= from_planes(columns.times, INT64) >= selection.start
    if selection.end is not None:
        chosen &= from_planes(columns.times, INT64) < selection.end
    rows = np.flatnonzero(chosen).tolist()
    if selection.id is None or not rows:
        return rows
    ids = read_ids(columns)
    return [row for row in rows if ids[row] == selection.id]


def _equal(column: bytes, text: str, strings: Sequence[str]) -> Flags | bool:
    return text in strings and from_planes(column, UINT32) == strings.index(text)


def _list(packed: bytes, code: str) -> list[int]:
    numbers: list[int] = from_planes(packed, code).tolist()
    return numbers
