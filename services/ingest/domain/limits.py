"""How large, how old and how far ahead a tenant's events may be."""

from __future__ import annotations

from dataclasses import dataclass

from libs.errors import InvalidInput


class BatchTooLarge(InvalidInput):
    """More events, or bytes, than one request may hold."""

    reason = "BATCH_TOO_LARGE"


PROPERTY_COLUMNS_MAX = 1_024  # Of one request in columns: each costs some work of its own.
WRITTEN_OUT_MAX = 4  # A request in columns is at most so many times as large in rows.


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


def check_batch(limits: Limits, *, events: int, size: int = 0) -> None:
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


def check_values(limits: Limits, *, values: int) -> None:
    """Check a request in columns of so many values of properties.

    Raises:
        BatchTooLarge: they are more than the most events may have.
    """
    values_max = limits.events_max * limits.properties_max
    if values > values_max:
        raise BatchTooLarge(
            f"the request has {values} values of properties, at most {values_max} are allowed",
            metadata={"values": str(values), "values_max": str(values_max)},
        )


def check_written_out(limits: Limits, *, size: int) -> None:
    """Check a request in columns whose events have `size` bytes as rows.

    Raises:
        BatchTooLarge: repeated texts make it larger than any request may become.
    """
    size_max = WRITTEN_OUT_MAX * limits.request_bytes_max
    if size > size_max:
        raise BatchTooLarge(
            f"the events have {size} bytes one by one, at most {size_max} are allowed",
            metadata={"row_bytes": str(size), "row_bytes_max": str(size_max)},
        )
