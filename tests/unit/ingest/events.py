"""Events for tests: a good one, and how to change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.tenant import Tenant
from services.ingest.domain.candidate import Candidate, Rules, Submission, make_candidate
from services.ingest.domain.event import Event
from services.ingest.domain.limits import Limits
from services.ingest.domain.number import Number

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


def candidate(sent: Event, *, tenant: Tenant = TENANT, content: bytes = b"") -> Candidate:
    """Return `sent` as it comes to the sealer."""
    rules = Rules(tenant, Limits(), NOW, 4, SECRET)
    return make_candidate(sent, content or repr(sent).encode(), rules)


def submission(*sent: Event, tenant: Tenant = TENANT, atomic: bool = False) -> Submission:
    """Return a request of these events."""
    return Submission(tenant, atomic, [candidate(one, tenant=tenant) for one in sent])


def ids(count: int, prefix: str = "e") -> Sequence[str]:
    """Return so many event ids."""
    return [f"{prefix}{number}" for number in range(count)]
