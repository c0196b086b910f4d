"""Which of many events may break a rule: those that `validation` then looks at closely.

Every event that breaks a rule is among them. Some of the others may be, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.ingest.domain.columns import Kind
from services.ingest.domain.decimals import UNREADABLE
from services.ingest.domain.event import MICROS_PER_SECOND, SECONDS_MAX, SECONDS_MIN
from services.ingest.domain.identity import Ids
from services.ingest.domain.limits import Limits
from services.ingest.domain.part import SHARED, Part
from services.ingest.domain.properties import SentProperties, ranks_of
from services.ingest.domain.validation import STANDALONE_HOLD, TEXT_BYTES_MAX
from services.ingest.domain.wire import Field, Flags, Ints, Times

REQUIRED = (Field.TYPE, Field.CUSTOMER_ID)  # And an id.


@dataclass(frozen=True, slots=True)
class Suspects:
    """Events that may be at fault, by row, and of each how many properties it has.

    `telling` are places of properties, by row: of each event the first one by name whose name is
    at fault, and the first whose value is. No other one can be named as its fault: of hostile
    events each has as many properties as it may, and looking at all of them costs far more than
    reading the request.
    """

    rows: Ints
    counts: Ints
    telling: Sequence[Sequence[int]]


def find_suspects(
    part: Part,
    ids: Ids,
    received: Ints,
    limits: Sequence[Limits],
    requests: Ints,
    texts: Sequence[bytes],
) -> Suspects:
    """Return the events that may be at fault, in order.

    `requests` says to which request each event belongs, and so which of `limits` hold for it.
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    suspects = _of_ids(ids)
    suspects |= _of_texts(part.places, lengths > TEXT_BYTES_MAX, texts)
    suspects |= _of_times(part.times, received, limits, requests)
    suspects |= part.sizes > _limits(limits, "event_bytes_max")[requests]
    properties = part.properties
    counts = np.bincount(properties.rows, minlength=len(suspects))
    longest = _limits(limits, "properties_max")[requests]
    counts[part.unread] = longest[part.unread] + 1  # At least.
    suspects |= counts > longest
    bad_names, bad_values = _bad_properties(properties, limits, requests, lengths)
    if b"\0" in b"".join(texts):
        has_nul = np.array([b"\0" in text for text in texts])
        for of_field in part.places.values():
            suspects |= has_nul[of_field]
        bad_names |= has_nul[properties.names]
        bad_values |= _texts_among(properties, has_nul)
    suspects[properties.rows[bad_names | bad_values]] = True
    rows = np.flatnonzero(suspects)
    firsts = [_firsts(properties, bad, len(suspects), texts) for bad in (bad_names, bad_values)]
    return Suspects(
        rows, counts[rows], _by_row(properties, np.unique(np.concatenate(firsts)), rows)
    )


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
) -> tuple[Flags, Flags]:
    """Return which have a name at fault, and which a value."""
    bad_names: Flags = properties.names == 0
    bad_values: Flags = properties.kinds == UNREADABLE
    keys_max, values_max = (_limits(limits, name) for name in ("key_bytes_max", "value_bytes_max"))
    if len(lengths) and lengths.max() <= min(keys_max.min(), values_max.min()):
        return bad_names, bad_values
    owners = requests[properties.rows]
    bad_names |= lengths[properties.names] > keys_max[owners]
    longest = values_max[owners]
    is_text = properties.kinds == Kind.TEXT
    bad_values[is_text] |= lengths[properties.values[is_text]] > longest[is_text]
    return bad_names, bad_values


def _texts_among(properties: SentProperties, chosen: Flags) -> Flags:
    """Tell of which properties the value is a text that is `chosen`."""
    is_text = properties.kinds == Kind.TEXT
    found = np.zeros(len(is_text), np.bool_)
    found[is_text] = chosen[properties.values[is_text]]
    return found


def _firsts(properties: SentProperties, bad: Flags, events: int, texts: Sequence[bytes]) -> Ints:
    """Return the place of the first property by name that is `bad`, of each event that has one."""
    places = np.flatnonzero(bad)
    rows, ranks = properties.rows[places], ranks_of(properties.names[places], texts)
    first = np.full(events, len(texts), np.int64)
    np.minimum.at(first, rows, ranks)
    firsts: Ints = places[ranks == first[rows]]
    return firsts


def _by_row(properties: SentProperties, places: Ints, rows: Ints) -> list[list[int]]:
    """Return for each of `rows` which of `places` are its own."""
    owners = properties.rows[places]
    order = np.argsort(owners, kind="stable")
    cuts = np.searchsorted(owners[order], rows)
    ordered, ends = places[order].tolist(), [*cuts[1:].tolist(), len(places)]
    return [ordered[first:end] for first, end in zip(cuts.tolist(), ends, strict=False)]
