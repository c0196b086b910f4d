"""The digest of an event's content: what tells a repeat from a conflict."""

from __future__ import annotations

import json
from hashlib import blake2b

from services.ingest.domain.event import Event, PropertyValue, Unreadable
from services.ingest.domain.number import Number

DIGEST_VERSION = 1  # Stored beside each digest; a changed canonical form gets the next one.

_encode = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, the same wherever it runs.


def digest(event: Event, version: int = DIGEST_VERSION) -> int:
    """Return 64 bits, signed, over what the client sent: equal for equal content only.

    What is absent stays absent, properties are sorted and tagged with their kind, decimals are in
    canonical form: neither the order of properties nor "1.50" for "1.5" matters. Only for events
    without a fault.
    """
    assert version == DIGEST_VERSION
    assert not isinstance(event.amount, Unreadable)
    canonical = _encode(
        (
            version,
            event.source,
            event.id,
            event.type,
            event.time,
            event.customer_id,
            event.subscription_id,
            event.amount and event.amount.canonical(),
            event.hold_id,
            [_tagged(key, value) for key, value in sorted(event.properties.items(), key=_name)],
        )
    )
    hashed = blake2b(canonical.encode("ascii"), digest_size=8).digest()
    return int.from_bytes(hashed, "big", signed=True)


def _tagged(key: str, value: PropertyValue) -> tuple[str, str, str | bool]:
    match value:
        case str():
            return key, "t", value
        case bool():
            return key, "f", value
        case Number():
            return key, "d", value.canonical()
        case Unreadable():
            raise AssertionError("an event at fault has no digest")


def _name(item: tuple[str, PropertyValue]) -> str:
    return item[0]
