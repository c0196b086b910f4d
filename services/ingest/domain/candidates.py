"""Events on their way to the log, with all that can be known before the database is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.partition import partition_of
from libs.tenant import Tenant
from services.ingest.domain.digest import NO_TIME, digests, text_words
from services.ingest.domain.event import MICROS_PER_SECOND
from services.ingest.domain.identity import event_keys
from services.ingest.domain.limits import Limits
from services.ingest.domain.number import parse_number
from services.ingest.domain.properties import Properties, read_properties
from services.ingest.domain.screening import find_suspects
from services.ingest.domain.sent import sent_event
from services.ingest.domain.texts import Texts, cut
from services.ingest.domain.validation import Rejection, find_fault
from services.ingest.domain.wire import Field, Fields, Ints, find_events, read_fields

SHARED = (Field.SOURCE, Field.TYPE, Field.CUSTOMER_ID, Field.SUBSCRIPTION_ID, Field.HOLD_ID)
UNREADABLE = -1  # The place of an amount that breaks the grammar of decimals.


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides on a request: the tenant's limits, and how the log is divided and keyed."""

    tenant: Tenant
    limits: Limits
    received: int  # Business time of the request, microseconds since 1970.
    partitions: int
    key_secret: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """One request: its events, as a serialized RecordEventsRequest without unknown fields."""

    rules: Rules
    atomic: bool  # Whether they are stored all or none.
    events: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Candidates:
    """The events of a group of requests, as columns.

    Of an event at fault, by row in `faults`, the columns say nothing. `places` leads into `texts`,
    and has all texts of an event but its id; amounts are in canonical form.
    """

    fields: Fields
    tenants: Ints
    received: Ints  # Microseconds since 1970.
    times: Ints  # As sent, else when received.
    places: dict[Field, Ints]
    properties: Properties
    texts: Sequence[bytes]
    ids: Sequence[bytes]
    keys: NDArray[np.uint8]  # 16 bytes a row.
    digests: Ints
    partitions: Ints
    faults: dict[int, Rejection]

    def content(self, row: int) -> bytes:
        """Return an event as it was sent."""
        events = self.fields.events
        return self.fields.data[events.starts[row] : events.ends[row]]


def read_candidates(group: Sequence[Submission]) -> Candidates:
    """Read, check and name the events of `group`, request after request."""
    data, events = find_events([one.content for one in group])
    counts = [one.events for one in group]
    properties_max = max(one.rules.limits.properties_max for one in group)
    fields = read_fields(data, events, properties_max=properties_max)
    tenants = np.repeat(np.array([one.rules.tenant for one in group], np.int64), counts)
    received = np.repeat(np.array([one.rules.received for one in group], np.int64), counts)
    texts, ids = Texts(), cut(data, fields.texts[Field.ID])
    places = {field: texts.places(data, fields.octets, fields.texts[field]) for field in SHARED}
    places[Field.AMOUNT] = _read_amounts(cut(data, fields.texts[Field.AMOUNT]), texts)
    properties = read_properties(fields, texts)
    sent = fields.times.seconds * MICROS_PER_SECOND + fields.times.nanos // 1_000
    all_texts = texts.all()
    rules = group[0].rules  # How the log is divided and keyed is the same for all.
    return Candidates(
        fields=fields,
        tenants=tenants,
        received=received,
        times=np.where(fields.times.given, sent, received),
        places=places,
        properties=properties,
        texts=all_texts,
        ids=ids,
        keys=event_keys(fields, ids, rules.key_secret),
        digests=_digests(fields, sent, places, properties, all_texts),
        partitions=_partitions(tenants, places[Field.CUSTOMER_ID], all_texts, rules.partitions),
        faults=_find_faults(group, fields, received, places, properties, all_texts),
    )


def _read_amounts(sent: Sequence[bytes], texts: Texts) -> Ints:
    """Return the places of amounts in canonical form, UNREADABLE for what is none."""
    places = {b"": texts.place(b"")}
    for text in set(sent) - places.keys():
        number = parse_number(text.decode())
        places[text] = UNREADABLE if number is None else texts.place(number.canonical().encode())
    return np.fromiter(map(places.__getitem__, sent), np.int64, len(sent))


def _digests(
    fields: Fields,
    sent: Ints,
    places: dict[Field, Ints],
    properties: Properties,
    texts: Sequence[bytes],
) -> Ints:
    words = text_words(texts)
    named = (Field.TYPE, Field.CUSTOMER_ID, Field.SUBSCRIPTION_ID, Field.AMOUNT, Field.HOLD_ID)
    times = np.where(fields.times.given, sent, NO_TIME)
    return digests([times, *(words[places[field]] for field in named)], properties, words)


def _partitions(tenants: Ints, customers: Ints, texts: Sequence[bytes], partitions: int) -> Ints:
    owners, rows = np.unique(tenants * len(texts) + customers, return_inverse=True)
    found = [
        partition_of(owner // len(texts), texts[owner % len(texts)].decode(), partitions)
        for owner in owners.tolist()
    ]
    return np.array(found, np.int64)[rows]


def _find_faults(
    group: Sequence[Submission],
    fields: Fields,
    received: Ints,
    places: dict[Field, Ints],
    properties: Properties,
    texts: Sequence[bytes],
) -> dict[int, Rejection]:
    """Screen all events at once, and look closely only at those that may be at fault."""
    limits = [one.rules.limits for one in group]
    requests = np.repeat(np.arange(len(group)), [one.events for one in group])
    suspects = find_suspects(fields, received, limits, requests, places, properties, texts)
    faults: dict[int, Rejection] = {}
    for row in suspects.tolist():
        rules = group[requests[row]].rules
        size = int(fields.events.lengths[row])
        event = sent_event(fields, row)
        fault = find_fault(event, size, received=rules.received, limits=rules.limits)
        if fault is not None:
            faults[row] = fault
    return faults
