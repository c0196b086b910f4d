"""The digest of an event's content: what tells a repeat from a conflict."""

from __future__ import annotations

from hashlib import blake2b

from services.ingest.domain.event import Event, PropertyValue, Unreadable
from services.ingest.domain.number import Number

DIGEST_VERSION = 1  # Stored beside each digest; a changed canonical form gets the next one.


def digest(event: Event, version: int = DIGEST_VERSION) -> int:
    """Return 64 bits, signed, over what the client sent: equal for equal content only.

    What is absent stays absent, properties are sorted and tagged with their kind, decimals are in
    canonical form: neither the order of properties nor "1.50" for "1.5" matters. Only for events
    without a fault: as no text of theirs holds a NUL, it can stand between the parts.
    """
    assert version == DIGEST_VERSION
    amount = event.amount
    assert not isinstance(amount, Unreadable)
    parts = [
        event.source,
        event.id,
        event.type,
        "" if event.time is None else str(event.time),
        event.customer_id,
        event.subscription_id,
        "" if amount is None else amount.canonical(),
        event.hold_id,
    ]
    properties = event.properties
    for key in sorted(properties):
        value = properties[key]
        parts += (key, "t" + value if type(value) is str else _tagged(value))
    hashed = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big", signed=True)


def _tagged(value: PropertyValue) -> str:
    if isinstance(value, Number):
        return "d" + value.canonical()
    assert isinstance(value, bool), "an event at fault has no digest"
    return "f1" if value else "f0"
