"""Which of many events may break a rule: those that `validation` then looks at closely.

Every event that breaks a rule is among them. Some of the others may be, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from services.ingest.domain.columns import Kind
from services.ingest.domain.decimals import UNREADABLE
from services.ingest.domain.event import MICROS_PER_SECOND, SECONDS_MAX, SECONDS_MIN
from services.ingest.domain.identity import Ids
from services.ingest.domain.limits import Limits
from services.ingest.domain.part import SHARED, Part
from services.ingest.domain.properties import SentProperties
from services.ingest.domain.validation import STANDALONE_HOLD, TEXT_BYTES_MAX
from services.ingest.domain.wire import Field, Flags, Ints, Times

REQUIRED = (Field.TYPE, Field.CUSTOMER_ID)  # And an id.


def find_suspects(
    part: Part,
    ids: Ids,
    received: Ints,
    limits: Sequence[Limits],
    requests: Ints,
    texts: Sequence[bytes],
) -> Ints:
    """Return the rows of events that may be at fault, in order.

    `requests` says to which request each event belongs, and so which of `limits` hold for it.
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    suspects = _of_ids(ids)
    suspects |= _of_texts(part.places, lengths > TEXT_BYTES_MAX, texts)
    suspects |= _of_times(part.times, received, limits, requests)
    suspects[part.unread] = True
    suspects |= part.sizes > _limits(limits, "event_bytes_max")[requests]
    properties = part.properties
    counts = np.bincount(properties.rows, minlength=len(suspects))
    suspects |= counts > _limits(limits, "properties_max")[requests]
    bad = _bad_properties(properties, limits, requests, lengths)
    if b"\0" in b"".join(texts):
        has_nul = np.array([b"\0" in text for text in texts])
        for of_field in part.places.values():
            suspects |= has_nul[of_field]
        bad |= has_nul[properties.names] | _texts_among(properties, has_nul)
    suspects[properties.rows[bad]] = True
    return np.flatnonzero(suspects)


def _limits(limits: Sequence[Limits], name: str) -> Ints:
    return np.array([getattr(one, name) for one in limits], np.int64)


def _of_ids(ids: Ids) -> Flags:
    lengths = ids.spans.lengths
    suspects: Flags = (lengths == 0) | (lengths > TEXT_BYTES_MAX)
    zeros = np.flatnonzero(ids.octets == 0)
    # An id holds a zero if one lies between its start and its end.
    suspects |= np.searchsorted(zeros, ids.spans.starts) < np.searchsorted(zeros, ids.spans.ends)
    return suspects


def _of_texts(places: Mapping[Field, Ints], too_long: Flags, texts: Sequence[bytes]) -> Flags:
    suspects: Flags = places[Field.AMOUNT] < 0
    for field in REQUIRED:
        suspects |= places[field] == 0
    if too_long.any():
        for field in SHARED:
            suspects |= too_long[places[field]]
    holds = places[Field.HOLD_ID]
    for place in np.unique(holds).tolist():
        if texts[place].startswith(STANDALONE_HOLD.encode()):
            suspects |= holds == place
    return suspects


def _of_times(times: Times, received: Ints, limits: Sequence[Limits], requests: Ints) -> Flags:
    """Compare whole seconds: rounded, so that a time just inside a limit is looked at too."""
    seconds, nanos = times.seconds, times.nanos
    suspects = (seconds < SECONDS_MIN) | (seconds > SECONDS_MAX)
    suspects |= (nanos < 0) | (nanos >= 1_000_000_000) | (nanos % 1_000 != 0)
    ahead = np.clip(seconds, SECONDS_MIN, SECONDS_MAX) - received // MICROS_PER_SECOND
    suspects |= ahead >= _limits(limits, "max_ahead_seconds")[requests]
    suspects |= -ahead >= _limits(limits, "max_age_seconds")[requests]
    return suspects & times.given


def _bad_properties(
    properties: SentProperties, limits: Sequence[Limits], requests: Ints, lengths: Ints
) -> Flags:
    bad: Flags = (properties.names == 0) | (properties.kinds == UNREADABLE)
    keys_max, values_max = (_limits(limits, name) for name in ("key_bytes_max", "value_bytes_max"))
    if len(lengths) and lengths.max() <= min(keys_max.min(), values_max.min()):
        return bad
    owners = requests[properties.rows]
    bad |= lengths[properties.names] > keys_max[owners]
    longest = values_max[owners]
    is_text = properties.kinds == Kind.TEXT
    bad[is_text] |= lengths[properties.values[is_text]] > longest[is_text]
    return bad


def _texts_among(properties: SentProperties, chosen: Flags) -> Flags:
    """Tell of which properties the value is a text that is `chosen`."""
    is_text = properties.kinds == Kind.TEXT
    found = np.zeros(len(is_text), np.bool_)
    found[is_text] = chosen[properties.values[is_text]]
    return found
