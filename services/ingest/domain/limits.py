"""How large, how old and how far ahead a tenant's events may be."""

from __future__ import annotations

from dataclasses import dataclass

from libs.errors import InvalidInput


class BatchTooLarge(InvalidInput):
    """More events, or bytes, than one request may hold."""

    reason = "BATCH_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one tenant; these defaults hold where it has none of its own."""

    max_ahead_seconds: int = 3_600
    max_age_seconds: int = 400 * 86_400
    properties_max: int = 64
    key_bytes_max: int = 64
    value_bytes_max: int = 1_024
    event_bytes_max: int = 16_384
    events_max: int = 10_000
    request_bytes_max: int = 8 * 1024 * 1024


def check_batch(limits: Limits, *, events: int, size: int) -> None:
    """Check a request of `events` events and `size` bytes.

    Raises:
        BatchTooLarge: it holds more than one request may.
    """
    if events > limits.events_max:
        raise BatchTooLarge(
            f"the request has {events} events, events_max is {limits.events_max}",
            metadata={"events": str(events), "events_max": str(limits.events_max)},
        )
    if size > limits.request_bytes_max:
        raise BatchTooLarge(
            f"the request has {size} bytes, request_bytes_max is {limits.request_bytes_max}",
            metadata={"bytes": str(size), "bytes_max": str(limits.request_bytes_max)},
        )
