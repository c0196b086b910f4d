"""Where the fields of serialized events lie: many events are read at once, field by field.

One step looks at the next field of every event that has one left, so that the number of steps is
that of the fields of the longest event and not of all. The bytes are those of tally.ingest.v1.Event
as protobuf itself writes them: each field once, none unknown, map entries whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Octets = NDArray[np.uint8]

LENGTH_DELIMITED = 2
WORD_BYTES = 8
PADDING = bytes(32)  # So that looking at what follows the last event never leaves the buffer.
EVENTS_TAG = 1 << 3 | LENGTH_DELIMITED  # Of RecordEventsRequest.
KEY_TAG, VALUE_TAG = 1 << 3 | LENGTH_DELIMITED, 2 << 3 | LENGTH_DELIMITED  # Of a map's entry.
SECONDS_TAG, NANOS_TAG = 1 << 3, 2 << 3  # Of a Timestamp.


class Field(IntEnum):
    """The fields of an Event, by number. All are length-delimited."""

    ID = 1
    SOURCE = 2
    TYPE = 3
    TIME = 4
    CUSTOMER_ID = 5
    SUBSCRIPTION_ID = 6
    PROPERTIES = 7
    AMOUNT = 8
    HOLD_ID = 9


class Kind(IntEnum):
    """The kinds of a PropertyValue, by field number; 0 has no value."""

    NONE = 0
    TEXT = 1
    DECIMAL = 2
    FLAG = 3


@dataclass(frozen=True, slots=True)
class Spans:
    """Ranges of the buffer."""

    starts: Ints
    ends: Ints

    @property
    def lengths(self) -> Ints:
        """How many bytes each has."""
        return self.ends - self.starts

    def at(self, places: Ints) -> Spans:
        """Return the spans at `places`."""
        return Spans(self.starts[places], self.ends[places])


@dataclass(frozen=True, slots=True)
class Times:
    """The times that were sent, as they were sent."""

    given: Flags
    seconds: Ints
    nanos: Ints


@dataclass(frozen=True, slots=True)
class Entries:
    """Properties, ordered by event: `rows` says whose each is."""

    rows: Ints
    keys: Spans
    kinds: Ints
    values: Spans  # Of a flag: one byte, 0 or 1.


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of serialized events. Of those in `unread` only the first properties are here."""

    data: bytes
    octets: Octets
    events: Spans
    texts: dict[Field, Spans]  # Without TIME and PROPERTIES; an absent one is empty.
    times: Times
    properties: Entries
    unread: Ints


def find_events(requests: Sequence[bytes]) -> tuple[bytes, Spans]:
    """Join serialized RecordEventsRequests; return the bytes, padded, and the events in them."""
    starts: list[int] = []
    ends: list[int] = []
    offset = 0
    for request in requests:
        at, size = 0, len(request)
        while at < size and request[at] == EVENTS_TAG:
            length = request[at + 1]
            at += 2
            if length > 127:
                length, shift, more = length & 127, 7, True
                while more:
                    octet = request[at]
                    length |= (octet & 127) << shift
                    at, shift, more = at + 1, shift + 7, octet > 127
            starts.append(offset + at)
            at += length
            ends.append(offset + at)
        offset += size
    spans = Spans(np.array(starts, np.int64), np.array(ends, np.int64))
    return b"".join([*requests, PADDING]), spans


def read_fields(data: bytes, events: Spans, *, properties_max: int) -> Fields:
    """Find the fields of `events`. One with more properties than `properties_max` is `unread`."""
    octets = np.frombuffer(data, np.uint8)
    count = len(events.starts)
    starts = np.zeros((len(Field) + 1, count), np.int64)
    ends = starts.copy()
    rows: list[Ints] = []
    entries: list[Spans] = []
    left = np.flatnonzero(events.starts < events.ends)
    at, until = events.starts[left], events.ends[left]
    for _ in range(properties_max + len(Field)):
        if not len(left):
            break
        tags = octets[at]
        assert ((tags & 7) == LENGTH_DELIMITED).all(), "not as protobuf writes an Event"
        lengths, first = _varints(octets, at + 1)
        at = first + lengths
        for tag, chosen in _by_tag(tags):
            if tag >> 3 == Field.PROPERTIES:
                rows.append(left[chosen])
                entries.append(Spans(first[chosen], at[chosen]))
            else:
                starts[tag >> 3, left[chosen]] = first[chosen]
                ends[tag >> 3, left[chosen]] = at[chosen]
        more = at < until
        if not more.all():
            left, at, until = left[more], at[more], until[more]
    texts = [field for field in Field if field not in (Field.TIME, Field.PROPERTIES)]
    return Fields(
        data,
        octets,
        events,
        {field: Spans(starts[field], ends[field]) for field in texts},
        _read_times(octets, Spans(starts[Field.TIME], ends[Field.TIME])),
        _read_entries(octets, rows, entries),
        left,
    )


def _by_tag(tags: Octets) -> Iterator[tuple[int, Flags | slice]]:
    """Give each tag, and where it is: mostly the events of a group have the same fields."""
    if (tags == tags[0]).all():
        yield int(tags[0]), slice(None)
        return
    for tag in np.flatnonzero(np.bincount(tags)).tolist():
        yield tag, tags == tag


def _read_times(octets: Octets, spans: Spans) -> Times:
    given = spans.starts > 0  # Not even the first event of all begins at 0, nor its fields.
    at = spans.starts.copy()
    seconds, nanos = np.zeros_like(at), np.zeros_like(at)
    for tag, values in ((SECONDS_TAG, seconds), (NANOS_TAG, nanos)):
        there = np.flatnonzero((at < spans.ends) & (octets[at] == tag))
        values[there], at[there] = _varints(octets, at[there] + 1)
    assert (at[given] == spans.ends[given]).all(), "not as protobuf writes a Timestamp"
    return Times(given, seconds, nanos)


def _read_entries(octets: Octets, rows: list[Ints], found: list[Spans]) -> Entries:
    none = np.zeros(0, np.int64)
    owners = np.concatenate([none, *rows])
    # Stable, and so an event's properties stay in the order in which they were found.
    order = np.argsort(owners, kind="stable")
    at = np.concatenate([none, *(spans.starts for spans in found)])[order]
    ends = np.concatenate([none, *(spans.ends for spans in found)])[order]
    assert (octets[at] == KEY_TAG).all(), "not as protobuf writes an entry"
    lengths, keys = _varints(octets, at + 1)
    at = keys + lengths
    key_spans = Spans(keys, at)
    assert (octets[at] == VALUE_TAG).all(), "not as protobuf writes an entry"
    lengths, at = _varints(octets, at + 1)
    assert (at + lengths == ends).all(), "not as protobuf writes an entry"
    kinds = np.where(at < ends, octets[at] >> 3, Kind.NONE).astype(np.int64)
    starts = np.where(at < ends, at + 1, at)
    sized = np.flatnonzero((kinds == Kind.TEXT) | (kinds == Kind.DECIMAL))
    lengths, starts[sized] = _varints(octets, starts[sized])
    assert (starts[sized] + lengths == ends[sized]).all(), "not as protobuf writes a value"
    return Entries(owners[order], key_spans, kinds, Spans(starts, ends))


def _varints(octets: Octets, at: Ints) -> tuple[Ints, Ints]:
    """Read a varint at each place; return the values, signed, and the places after them."""
    first = octets[at]
    values, after = (first & 127).astype(np.int64), at + 1
    more, shift = np.flatnonzero(first > 127), 7
    while len(more):
        octet = octets[after[more]]
        values[more] |= (octet & 127).astype(np.int64) << shift
        after[more] += 1
        more, shift = more[octet > 127], shift + 7
    return values, after
