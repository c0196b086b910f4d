"""Events as JSON objects, one a line: the form that an import reads by itself."""

from __future__ import annotations

import msgspec

from cli.events.event import time_text
from cli.events.fetching import StoredEvent

# Numbers are written with all their digits, never through a binary float.
_encode = msgspec.json.Encoder(decimal_format="number").encode


def json_line(stored: StoredEvent) -> bytes:
    """Return an event as a line; what it does not have is left out.

    An event without a time of its own has `received_at` in its place.
    """
    return _encode(json_object(stored)) + b"\n"


def json_object(stored: StoredEvent) -> dict[str, object]:
    """Return what an event has, by name."""
    event, received = stored
    time = {"received_at": received} if event.time is None else {"time": event.time}
    found: dict[str, object] = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        **{name: time_text(micros) for name, micros in time.items()},
        "customer_id": event.customer_id,
        "subscription_id": event.subscription_id,
        "properties": event.properties,
        "amount": event.amount,
        "hold_id": event.hold_id,
    }
    return {name: value for name, value in found.items() if value not in ("", None, {})}
