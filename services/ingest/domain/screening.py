"""Which of many events may break a rule: those that `validation` then looks at closely.

Every event that breaks a rule is among them. Some of the others may be, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from services.ingest.domain.columns import Kind
from services.ingest.domain.decimals import UNREADABLE
from services.ingest.domain.event import MICROS_PER_SECOND, SECONDS_MAX, SECONDS_MIN
from services.ingest.domain.limits import Limits
from services.ingest.domain.properties import Properties
from services.ingest.domain.validation import STANDALONE_HOLD, TEXT_BYTES_MAX
from services.ingest.domain.wire import Field, Fields, Flags, Ints

REQUIRED = (Field.ID, Field.TYPE, Field.CUSTOMER_ID)


def find_suspects(
    fields: Fields,
    received: Ints,
    limits: Sequence[Limits],
    requests: Ints,
    places: Mapping[Field, Ints],
    properties: Properties,
    texts: Sequence[bytes],
) -> Ints:
    """Return the rows of events that may be at fault, in order.

    `requests` says to which request each event belongs, and so which of `limits` hold for it.
    """
    suspects = _of_texts(fields, places, texts)
    suspects |= _of_times(fields, received, limits, requests)
    suspects |= places[Field.AMOUNT] < 0
    suspects[fields.unread] = True
    suspects |= fields.events.lengths > _limits(limits, "event_bytes_max")[requests]
    counts = np.bincount(properties.rows, minlength=len(suspects))
    suspects |= counts > _limits(limits, "properties_max")[requests]
    suspects[_owners_of_bad_properties(fields, limits, requests, properties)] = True
    suspects |= _with_nul(fields, places, properties, texts)
    return np.flatnonzero(suspects)


def _limits(limits: Sequence[Limits], name: str) -> Ints:
    return np.array([getattr(one, name) for one in limits], np.int64)


def _of_texts(fields: Fields, places: Mapping[Field, Ints], texts: Sequence[bytes]) -> Flags:
    suspects = np.zeros(len(places[Field.TYPE]), np.bool_)
    for field, spans in fields.texts.items():
        lengths = spans.lengths
        if field is not Field.AMOUNT:
            suspects |= lengths > TEXT_BYTES_MAX
        if field in REQUIRED:
            suspects |= lengths == 0
    holds = places[Field.HOLD_ID]
    for place in np.unique(holds).tolist():
        if texts[place].startswith(STANDALONE_HOLD.encode()):
            suspects |= holds == place
    return suspects


def _of_times(fields: Fields, received: Ints, limits: Sequence[Limits], requests: Ints) -> Flags:
    """Compare whole seconds: rounded, so that a time just inside a limit is looked at too."""
    times = fields.times
    seconds, nanos = times.seconds, times.nanos
    suspects = (seconds < SECONDS_MIN) | (seconds > SECONDS_MAX)
    suspects |= (nanos < 0) | (nanos >= 1_000_000_000) | (nanos % 1_000 != 0)
    ahead = np.clip(seconds, SECONDS_MIN, SECONDS_MAX) - received // MICROS_PER_SECOND
    suspects |= ahead >= _limits(limits, "max_ahead_seconds")[requests]
    suspects |= -ahead >= _limits(limits, "max_age_seconds")[requests]
    return suspects & times.given


def _owners_of_bad_properties(
    fields: Fields, limits: Sequence[Limits], requests: Ints, properties: Properties
) -> Ints:
    found = fields.properties
    owners = requests[found.rows]
    lengths = found.keys.lengths
    bad = (lengths == 0) | (lengths > _limits(limits, "key_bytes_max")[owners])
    # Texts are what is meant; a longer decimal breaks its own grammar anyway.
    bad |= found.values.lengths > _limits(limits, "value_bytes_max")[owners]
    unreadable = properties.rows[properties.kinds == UNREADABLE]
    return np.concatenate([found.rows[bad], unreadable])


def _with_nul(
    fields: Fields, places: Mapping[Field, Ints], properties: Properties, texts: Sequence[bytes]
) -> Flags:
    suspects = np.zeros(len(places[Field.TYPE]), np.bool_)
    spans = fields.texts[Field.ID]
    zeros = np.flatnonzero(fields.octets == 0)
    # An id holds a zero if one lies between its start and its end.
    suspects |= np.searchsorted(zeros, spans.starts) < np.searchsorted(zeros, spans.ends)
    if b"\0" not in b"".join(texts):
        return suspects
    has_nul = np.array([b"\0" in text for text in texts])
    for of_field in places.values():
        suspects |= has_nul[of_field]
    is_text = properties.kinds == Kind.TEXT
    suspects[properties.rows[has_nul[properties.names]]] = True
    suspects[properties.rows[is_text][has_nul[properties.values[is_text]]]] = True
    return suspects
