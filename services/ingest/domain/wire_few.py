"""Where the fields of a few serialized events lie: found event by event, the same as `wire` finds.

Looking at many events at once has its price: what it takes for one is as much as for thirty.
"""

from __future__ import annotations

import numpy as np

from services.ingest.domain.wire import (
    KEY_TAG,
    LENGTH_DELIMITED,
    NANOS_TAG,
    SECONDS_TAG,
    VALUE_TAG,
    Entries,
    Field,
    Fields,
    Kind,
    Spans,
    Times,
)

FEW_EVENTS_MAX = 24
# Looked up here once: looking into an enumeration takes as long as reading a field.
PROPERTIES, FIELDS = int(Field.PROPERTIES), len(Field)
SIZED = (int(Kind.TEXT), int(Kind.DECIMAL))

Entry = tuple[int, int, int, int, int, int]


def read_few_fields(data: bytes, events: Spans, *, properties_max: int) -> Fields:
    """Return what `wire.read_fields` returns."""
    count = len(events.starts)
    starts = [[0] * count for _ in range(len(Field) + 1)]
    ends = [[0] * count for _ in range(len(Field) + 1)]
    entries: list[Entry] = []
    unread: list[int] = []
    spans = zip(events.starts.tolist(), events.ends.tolist(), strict=True)
    for row, (at, end) in enumerate(spans):
        for _ in range(properties_max + FIELDS):
            if at >= end:
                break
            tag = data[at]
            assert tag & 7 == LENGTH_DELIMITED, "not as protobuf writes an Event"
            length, first = _varint(data, at + 1)
            at = first + length
            if tag >> 3 == PROPERTIES:
                entries.append(_entry(data, row, first, at))
            else:
                starts[tag >> 3][row], ends[tag >> 3][row] = first, at
        if at < end:
            unread.append(row)
    texts = [field for field in Field if field not in (Field.TIME, Field.PROPERTIES)]
    return Fields(
        data,
        np.frombuffer(data, np.uint8),
        events,
        {field: _spans(starts[field], ends[field]) for field in texts},
        _times(data, starts[Field.TIME], ends[Field.TIME]),
        _entries(entries),
        np.array(unread, np.int64),
    )


def _times(data: bytes, starts: list[int], ends: list[int]) -> Times:
    found = [_time(data, at, end) for at, end in zip(starts, ends, strict=True)]
    given = np.array(starts, np.int64) > 0  # Not even the first event of all begins at 0.
    seconds, nanos = np.array(found, np.int64).reshape(-1, 2).T.copy()
    return Times(given, seconds, nanos)


def _time(data: bytes, at: int, end: int) -> tuple[int, int]:
    seconds = nanos = 0
    if at < end and data[at] == SECONDS_TAG:
        seconds, at = _varint(data, at + 1)
    if at < end and data[at] == NANOS_TAG:
        nanos, at = _varint(data, at + 1)
    assert at == end, "not as protobuf writes a Timestamp"
    return seconds, nanos


def _entry(data: bytes, row: int, at: int, end: int) -> Entry:
    """Return its row, the span of its key, the kind and the span of its value."""
    assert data[at] == KEY_TAG, "not as protobuf writes an entry"
    length, key = _varint(data, at + 1)
    key_end = key + length
    assert data[key_end] == VALUE_TAG, "not as protobuf writes an entry"
    length, at = _varint(data, key_end + 1)
    assert at + length == end, "not as protobuf writes an entry"
    if at == end:
        return row, key, key_end, Kind.NONE, at, end
    kind, at = data[at] >> 3, at + 1
    if kind in SIZED:
        length, at = _varint(data, at)
        assert at + length == end, "not as protobuf writes a value"
    return row, key, key_end, kind, at, end


def _entries(found: list[Entry]) -> Entries:
    columns = np.array(found, np.int64).reshape(-1, 6).T.copy()
    rows, keys, key_ends, kinds, values, value_ends = columns
    return Entries(rows, Spans(keys, key_ends), kinds, Spans(values, value_ends))


def _spans(starts: list[int], ends: list[int]) -> Spans:
    return Spans(np.array(starts, np.int64), np.array(ends, np.int64))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a varint; return its value, signed, and the place after it."""
    octet = data[at]
    if octet < 128:
        return octet, at + 1
    value, shift = octet & 127, 7
    while octet > 127:
        at += 1
        octet = data[at]
        value |= (octet & 127) << shift
        shift += 7
    value &= (1 << 64) - 1
    return value - (value >> 63 << 64), at + 1
