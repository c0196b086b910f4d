"""Events for tests: a good one, and how to change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from libs.tenant import Tenant
from services.ingest.api import submitting
from services.ingest.domain.candidates import Candidates, Rules, Submission, read_candidates
from services.ingest.domain.columns import Columns
from services.ingest.domain.encoding import encode
from services.ingest.domain.event import Event, LoggedEvent, Unreadable
from services.ingest.domain.limits import Limits
from services.ingest.domain.number import Number
from tally.ingest.v1 import event_pb2, ingest_service_pb2
from tally.ingest.v1.event_columns_pb2 import EventColumns

T = TypeVar("T")

DEFAULTS = Limits()
NOW = 1_767_225_600_000_000  # 2026-01-01, in microseconds.
SECOND = 1_000_000
TENANT, OTHER_TENANT = Tenant(1), Tenant(2)
SECRET = bytes(range(32))
GOOD = Event(
    id="e1",
    source="",
    type="api_call",
    time=NOW,
    customer_id="acme",
    subscription_id="",
    properties={"tokens": Number(15, -1), "model": "large", "cached": True},
    amount=None,
    hold_id="",
)


def event(event_id: str = "e1", **changes: Any) -> Event:
    """Return a good event with some of it changed."""
    return GOOD._replace(id=event_id, **changes)


def message(sent: Event) -> event_pb2.Event:
    """Return `sent` as a client writes it."""
    written = event_pb2.Event(
        id=sent.id,
        source=sent.source,
        type=sent.type,
        customer_id=sent.customer_id,
        subscription_id=sent.subscription_id,
        amount="" if sent.amount is None else _decimal(sent.amount),
        hold_id=sent.hold_id,
    )
    if sent.time is not None:
        written.time.seconds, micros = divmod(_known(sent.time), SECOND)
        written.time.nanos = micros * 1_000
    for key, value in sent.properties.items():
        match value:
            case str():
                written.properties[key].text = value
            case bool():
                written.properties[key].flag = value
            case _:
                written.properties[key].decimal = _decimal(value)
    return written


def submission(
    *sent: Event,
    tenant: Tenant = TENANT,
    atomic: bool = False,
    received: int = NOW,
    limits: Limits = DEFAULTS,
) -> Submission:
    """Return a request of these events."""
    return sent_as([message(one) for one in sent], tenant, atomic, received, limits)


def sent_as(
    messages: Sequence[event_pb2.Event],
    tenant: Tenant = TENANT,
    atomic: bool = False,
    received: int = NOW,
    limits: Limits = DEFAULTS,
) -> Submission:
    """Return a request of these messages."""
    rules = Rules(tenant, limits, received, 4, SECRET)
    request = ingest_service_pb2.RecordEventsRequest(events=messages)
    return Submission(rules, atomic, len(messages), request.SerializeToString(deterministic=True))


def sent_in_columns(
    columns: EventColumns,
    tenant: Tenant = TENANT,
    atomic: bool = False,
    received: int = NOW,
    limits: Limits = DEFAULTS,
) -> Submission:
    """Return a request of these columns."""
    rules = Rules(tenant, limits, received, 4, SECRET)
    return submitting.columns_of(rules, columns, atomic=atomic)


def read(*requests: Submission) -> Candidates:
    """Return the events of a group of requests."""
    return read_candidates(requests)


def columns_of(logged: Sequence[LoggedEvent]) -> Columns:
    """Return the columns of a slice of these events."""
    requests = [submission(one.event, tenant=one.tenant, received=one.received) for one in logged]
    rows = np.arange(len(logged))
    return encode(read_candidates(requests), rows, np.array([one.place for one in logged]))


def _decimal(number: Number | Unreadable) -> str:
    """Write a decimal with the very digits it has."""
    mantissa, exponent = _known(number)
    return f"{mantissa}e{exponent}"


def _known(value: T | Unreadable) -> T:
    assert not isinstance(value, Unreadable)
    return value


def ids(count: int, prefix: str = "e") -> Sequence[str]:
    """Return so many event ids."""
    return [f"{prefix}{number}" for number in range(count)]
