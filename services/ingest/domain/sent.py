"""One event as it was sent, out of the fields of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from services.ingest.domain.event import Event, PropertyValue, Unreadable, parse_time
from services.ingest.domain.number import Number, parse_number
from services.ingest.domain.wire import PADDING, Field, Fields, Kind, Spans, read_fields

NO_DECIMAL = "is not a decimal of at most 64 characters, below 10^30 with at most 30 places"


def read_event(content: bytes) -> Event:
    """Return a serialized Event; what breaks its grammar is Unreadable."""
    return read_events([content])[0]


def read_events(contents: Sequence[bytes]) -> list[Event]:
    """Return serialized Events."""
    data = b"".join([b"\0", *contents, PADDING])  # No event begins at 0.
    ends = 1 + np.cumsum([len(one) for one in contents], dtype=np.int64)
    starts = np.concatenate([[1], ends[:-1]]).astype(np.int64)
    longest = max(map(len, contents), default=0)  # None has more properties than bytes.
    fields = read_fields(data, Spans(starts, ends), properties_max=longest)
    return [sent_event(fields, row) for row in range(len(contents))]


def sent_event(fields: Fields, row: int, among: Iterable[int] | None = None) -> Event:
    """Return the event in `row`; what breaks its grammar is Unreadable.

    With only those of its properties that are at the places `among`, if given. Of an event with
    more properties than anyone may send, only the first ones are there. They are sorted by name:
    of several that are at fault, it is always the same one that is named.
    """
    times = fields.times
    time = None
    if times.given[row]:
        time = parse_time(int(times.seconds[row]), int(times.nanos[row]))
    amount = _text(fields, Field.AMOUNT, row)
    return Event(
        id=_text(fields, Field.ID, row),
        source=_text(fields, Field.SOURCE, row),
        type=_text(fields, Field.TYPE, row),
        time=time,
        customer_id=_text(fields, Field.CUSTOMER_ID, row),
        subscription_id=_text(fields, Field.SUBSCRIPTION_ID, row),
        properties=_properties(fields, _places_of(fields, row) if among is None else among),
        amount=sent_number(amount) if amount else None,
        hold_id=_text(fields, Field.HOLD_ID, row),
    )


def _text(fields: Fields, field: Field, row: int) -> str:
    return _cut(fields, fields.texts[field], row)


def _places_of(fields: Fields, row: int) -> Iterable[int]:
    first, after = np.searchsorted(fields.properties.rows, [row, row + 1]).tolist()
    return range(first, after)


def _properties(fields: Fields, chosen: Iterable[int]) -> dict[str, PropertyValue]:
    places = {_cut(fields, fields.properties.keys, place): place for place in chosen}
    return {key: _value(fields, places[key]) for key in sorted(places)}


def _value(fields: Fields, place: int) -> PropertyValue:
    values = fields.properties.values
    match Kind(fields.properties.kinds[place]):
        case Kind.NONE:
            return Unreadable("the property has no value")
        case Kind.TEXT:
            return _cut(fields, values, place)
        case Kind.DECIMAL:
            return sent_number(_cut(fields, values, place))
        case Kind.FLAG:
            return bool(fields.octets[values.starts[place]])


def sent_number(sent: str) -> Number | Unreadable:
    """Read a decimal that was sent."""
    return parse_number(sent) or Unreadable(f"{sent[:70]!r} {NO_DECIMAL}")


def _cut(fields: Fields, spans: Spans, place: int) -> str:
    return fields.data[spans.starts[place] : spans.ends[place]].decode()
