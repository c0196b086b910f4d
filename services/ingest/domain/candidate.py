"""An event on its way to the log, with all that can be known of it before the database is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from libs.partition import partition_of
from libs.tenant import Tenant
from services.ingest.domain.digest import digest
from services.ingest.domain.event import Event
from services.ingest.domain.identity import event_key
from services.ingest.domain.limits import Limits
from services.ingest.domain.validation import Rejection, find_fault


class Candidate(NamedTuple):
    """An event on its way to the log. With a `fault`, key, digest and partition say nothing."""

    event: Event
    content: bytes  # As it was sent.
    received: int  # Microseconds since 1970.
    fault: Rejection | None
    key: bytes
    digest: int
    partition: int


@dataclass(frozen=True, slots=True)
class Submission:
    """One request: its events, and whether they are stored all or none."""

    tenant: Tenant
    atomic: bool
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides on a request: the tenant's limits, and how the log is divided and keyed."""

    tenant: Tenant
    limits: Limits
    received: int  # Business time of the request, microseconds since 1970.
    partitions: int
    key_secret: bytes


def make_candidate(event: Event, content: bytes, rules: Rules) -> Candidate:
    """Check `event`, sent as `content`, and derive its key, digest and partition."""
    fault = find_fault(event, len(content), received=rules.received, limits=rules.limits)
    if fault is not None:
        return Candidate(event, content, rules.received, fault, b"", 0, 0)
    return Candidate(
        event=event,
        content=content,
        received=rules.received,
        fault=None,
        key=event_key(event.source, event.id, rules.key_secret),
        digest=digest(event),
        partition=partition_of(rules.tenant, event.customer_id, rules.partitions),
    )
