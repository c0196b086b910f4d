"""Events on their way to the log, with all that can be known before the database is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.partition import partition_of
from libs.tenant import Tenant
from services.ingest.domain.columns_reading import read_columns
from services.ingest.domain.digest import NO_TIME, digests, text_words
from services.ingest.domain.event import MICROS_PER_SECOND, Event
from services.ingest.domain.identity import Ids, event_keys
from services.ingest.domain.limits import Limits
from services.ingest.domain.part import Part, Sent, join
from services.ingest.domain.properties import Properties, sort_properties
from services.ingest.domain.rows import read_rows
from services.ingest.domain.screening import find_suspects
from services.ingest.domain.sent_columns import CheckedColumns
from services.ingest.domain.texts import Texts
from services.ingest.domain.validation import Rejection, find_fault
from services.ingest.domain.wire import Field, Flags, Ints


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
    """One request: its events in one of two forms.

    Rows are a serialized RecordEventsRequest without unknown fields.
    """

    rules: Rules
    atomic: bool  # Whether they are stored all or none.
    events: int
    content: bytes | CheckedColumns

    @property
    def size(self) -> int:
        """How many bytes its events have as rows, or about as many if they came as columns."""
        if isinstance(self.content, CheckedColumns):
            return self.content.size
        return len(self.content)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The events of a group of requests, as columns.

    Of an event at fault, by row in `faults`, the columns say nothing. `places` leads into `texts`,
    and has all texts of an event but its id; amounts are in canonical form.
    """

    tenants: Ints
    received: Ints  # Microseconds since 1970.
    times: Ints  # As sent, else when received.
    times_given: Flags
    places: dict[Field, Ints]
    properties: Properties
    texts: Sequence[bytes]
    ids: Sequence[bytes]
    are_uuids: Flags  # Ids that are UUIDs in lower case, of which `uuids` has the 16 bytes.
    uuids: NDArray[np.uint8]
    keys: NDArray[np.uint8]  # 16 bytes a row.
    digests: Ints
    partitions: Ints
    faults: dict[int, Rejection]
    sent: Sent

    def content(self, row: int) -> bytes:
        """Return an event as a serialized tally.ingest.v1.Event, as it was sent."""
        return self.contents([row])[0]

    def contents(self, rows: Sequence[int]) -> list[bytes]:
        """Return the events in `rows`, ascending, as they were sent: many at once cost less."""
        return self.sent.contents(rows)

    def event(self, row: int) -> Event:
        """Return an event as it was sent; what breaks its grammar is Unreadable."""
        return self.sent.event(row)

    def text(self, field: Field, row: int) -> str:
        """Return one of an event's texts, also of one at fault; not its id, nor its amount."""
        place: int = self.places[field][row]
        return self.texts[place].decode()


def read_candidates(group: Sequence[Submission]) -> Candidates:
    """Read, check and name the events of `group`, request after request."""
    texts = Texts()
    part = _read_parts(group, texts)
    requests = np.repeat(np.arange(len(group)), [one.events for one in group])
    tenants = np.array([one.rules.tenant for one in group], np.int64)[requests]
    received = np.array([one.rules.received for one in group], np.int64)[requests]
    times = part.times
    sent = times.seconds * MICROS_PER_SECOND + times.nanos // 1_000
    all_texts, ids = texts.all(), Ids.of(part.ids)
    properties = sort_properties(part.properties, all_texts)
    rules = group[0].rules  # How the log is divided and keyed is the same for all.
    return Candidates(
        tenants=tenants,
        received=received,
        times=np.where(times.given, sent, received),
        times_given=times.given,
        places=part.places,
        properties=properties,
        texts=all_texts,
        ids=part.ids,
        are_uuids=ids.are_uuids,
        uuids=ids.uuids,
        keys=event_keys(ids, part.places[Field.SOURCE], all_texts, rules.key_secret),
        digests=_digests(np.where(times.given, sent, NO_TIME), part.places, properties, all_texts),
        partitions=_partitions(
            tenants, part.places[Field.CUSTOMER_ID], all_texts, rules.partitions
        ),
        faults=_find_faults(group, part, ids, received, requests, all_texts),
        sent=part.sent,
    )


def _read_parts(group: Sequence[Submission], texts: Texts) -> Part:
    """Read all rows at once, and all columns; return them in the group's order."""
    properties_max = max(one.rules.limits.properties_max for one in group)
    rows = [one.content for one in group if isinstance(one.content, bytes)]
    columns = [one.content for one in group if isinstance(one.content, CheckedColumns)]
    if not columns:
        return read_rows(rows, texts, properties_max=properties_max)
    part = read_columns(columns, texts, properties_max=properties_max)
    if not rows:
        return part
    parts = [read_rows(rows, texts, properties_max=properties_max), part]
    at_rows, at_columns = 0, len(parts[0].ids)
    order = []
    for one in group:
        if isinstance(one.content, bytes):
            order.append(np.arange(at_rows, at_rows + one.events))
            at_rows += one.events
        else:
            order.append(np.arange(at_columns, at_columns + one.events))
            at_columns += one.events
    return join(parts, np.concatenate(order))


def _digests(
    times: Ints, places: dict[Field, Ints], properties: Properties, texts: Sequence[bytes]
) -> Ints:
    words = text_words(texts)
    named = (Field.TYPE, Field.CUSTOMER_ID, Field.SUBSCRIPTION_ID, Field.AMOUNT, Field.HOLD_ID)
    heads = [times.view(np.uint64), *(words[places[field]] for field in named)]
    return digests(heads, properties, words)


def _partitions(tenants: Ints, customers: Ints, texts: Sequence[bytes], partitions: int) -> Ints:
    owners, rows = np.unique(tenants * len(texts) + customers, return_inverse=True)
    found = [
        partition_of(owner // len(texts), texts[owner % len(texts)].decode(), partitions)
        for owner in owners.tolist()
    ]
    return np.array(found, np.int64)[rows]


def _find_faults(
    group: Sequence[Submission],
    part: Part,
    ids: Ids,
    received: Ints,
    requests: Ints,
    texts: Sequence[bytes],
) -> dict[int, Rejection]:
    """Screen all events at once, and look closely only at those that may be at fault."""
    limits = [one.rules.limits for one in group]
    suspects = find_suspects(part, ids, received, limits, requests, texts)
    faults: dict[int, Rejection] = {}
    bytes_max = np.array([one.event_bytes_max for one in limits], np.int64)[requests]
    large = suspects.rows[part.sizes[suspects.rows] > bytes_max[suspects.rows]].tolist()
    sizes = dict(zip(large, map(len, part.sent.contents(large)), strict=True))
    of_suspects = zip(
        suspects.rows.tolist(), suspects.counts.tolist(), suspects.telling, strict=True
    )
    for row, count, telling in of_suspects:
        rules = group[requests[row]].rules
        fault = find_fault(
            part.sent.event(row, telling),
            sizes.get(row, 0),  # Else it is no larger than it may be.
            received=rules.received,
            limits=rules.limits,
            properties=count,
        )
        if fault is not None:
            faults[row] = fault
    return faults
