"""Whether an event can go into the log, and if not, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from services.ingest.domain.event import MICROS_PER_SECOND, Event, PropertyValue, Unreadable
from services.ingest.domain.limits import Limits

TEXT_BYTES_MAX = 255
STANDALONE_HOLD = "std_"


class Reason(Enum):
    """Why an event was rejected. Names are those of tally.ingest.v1.RejectionReason."""

    ID_MISSING = "ID_MISSING"
    TYPE_MISSING = "TYPE_MISSING"
    CUSTOMER_MISSING = "CUSTOMER_MISSING"
    FIELD_TOO_LARGE = "FIELD_TOO_LARGE"
    TIME_INVALID = "TIME_INVALID"
    TIME_TOO_OLD = "TIME_TOO_OLD"
    TIME_TOO_NEW = "TIME_TOO_NEW"
    PROPERTIES_TOO_MANY = "PROPERTIES_TOO_MANY"
    PROPERTY_KEY_INVALID = "PROPERTY_KEY_INVALID"
    PROPERTY_TOO_LARGE = "PROPERTY_TOO_LARGE"
    PROPERTY_INVALID = "PROPERTY_INVALID"
    AMOUNT_INVALID = "AMOUNT_INVALID"
    EVENT_TOO_LARGE = "EVENT_TOO_LARGE"
    ALREADY_PAID = "ALREADY_PAID"
    CONFLICT = "CONFLICT"
    TEXT_INVALID = "TEXT_INVALID"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an event is not in the log: the field at fault, and the same for people."""

    reason: Reason
    field: str
    detail: str


def find_fault(
    event: Event, size: int, *, received: int, limits: Limits, properties: int | None = None
) -> Rejection | None:
    """Return the first rule that `event`, of `size` bytes, breaks; None if it is good.

    `received` is business time in microseconds since 1970: ages are measured from there.
    `properties` says how many it has, if not all of them are here.
    """
    count = len(event.properties) if properties is None else properties
    return (
        _fault_of_size(count, size, limits)  # First: what is too large was not read to its end.
        or _fault_of_texts(event)
        or _fault_of_time(event.time, received, limits)
        or _fault_of_amount(event)
        or _fault_of_properties(event.properties, limits)
    )


def _fault_of_size(properties: int, size: int, limits: Limits) -> Rejection | None:
    if size > limits.event_bytes_max:
        detail = f"the event has {size} bytes, event_bytes_max is {limits.event_bytes_max}"
        return Rejection(Reason.EVENT_TOO_LARGE, "", detail)
    if properties > limits.properties_max:
        detail = f"more properties than properties_max, which is {limits.properties_max}"
        return Rejection(Reason.PROPERTIES_TOO_MANY, "properties", detail)
    return None


def _fault_of_texts(event: Event) -> Rejection | None:
    if not event.id:
        return Rejection(Reason.ID_MISSING, "id", "id is missing")
    if not event.type:
        return Rejection(Reason.TYPE_MISSING, "type", "type is missing")
    if not event.customer_id:
        return Rejection(Reason.CUSTOMER_MISSING, "customer_id", "customer_id is missing")
    texts = (
        ("id", event.id),
        ("source", event.source),
        ("type", event.type),
        ("customer_id", event.customer_id),
        ("subscription_id", event.subscription_id),
        ("hold_id", event.hold_id),
    )
    faults = (_fault_of_text(field, text) for field, text in texts)
    fault = next((fault for fault in faults if fault is not None), None)
    if fault is None and event.hold_id.startswith(STANDALONE_HOLD):
        detail = f"hold {event.hold_id} is a standalone one: its capture was the sale"
        return Rejection(Reason.ALREADY_PAID, "hold_id", detail)
    return fault


def _fault_of_text(field: str, text: str) -> Rejection | None:
    if (size := _bytes_above(text, TEXT_BYTES_MAX)) is not None:
        detail = f"{field} has {size} bytes, at most {TEXT_BYTES_MAX} are allowed"
        return Rejection(Reason.FIELD_TOO_LARGE, field, detail)
    if "\0" in text:
        return Rejection(Reason.TEXT_INVALID, field, f"{field} holds a NUL character")
    return None


def _fault_of_time(
    time: int | Unreadable | None, received: int, limits: Limits
) -> Rejection | None:
    if time is None:
        return None
    if isinstance(time, Unreadable):
        return Rejection(Reason.TIME_INVALID, "time", f"time: {time.problem}")
    ahead = time - received
    if ahead > limits.max_ahead_seconds * MICROS_PER_SECOND:
        detail = f"time is {_seconds(ahead)} s ahead, max_ahead is {limits.max_ahead_seconds} s"
        return Rejection(Reason.TIME_TOO_NEW, "time", detail)
    if -ahead > limits.max_age_seconds * MICROS_PER_SECOND:
        detail = f"time is {_seconds(-ahead)} s back, max_age is {limits.max_age_seconds} s"
        return Rejection(Reason.TIME_TOO_OLD, "time", detail)
    return None


def _fault_of_amount(event: Event) -> Rejection | None:
    if isinstance(event.amount, Unreadable):
        return Rejection(Reason.AMOUNT_INVALID, "amount", f"amount: {event.amount.problem}")
    return None


def _fault_of_properties(
    properties: Mapping[str, PropertyValue], limits: Limits
) -> Rejection | None:
    for key in properties:
        if (problem := _problem_of_key(key, limits.key_bytes_max)) is not None:
            return Rejection(Reason.PROPERTY_KEY_INVALID, "properties", problem)
    for key, value in properties.items():
        if isinstance(value, str):
            if (size := _bytes_above(value, limits.value_bytes_max)) is not None:
                detail = f"the value has {size} bytes, value_bytes_max is {limits.value_bytes_max}"
                return Rejection(Reason.PROPERTY_TOO_LARGE, f"properties.{key}", detail)
            if "\0" in value:
                detail = "the value holds a NUL character"
                return Rejection(Reason.TEXT_INVALID, f"properties.{key}", detail)
        elif isinstance(value, Unreadable):
            return Rejection(Reason.PROPERTY_INVALID, f"properties.{key}", value.problem)
    return None


def _problem_of_key(key: str, bytes_max: int) -> str | None:
    if not key:
        return "the key is empty"
    if (size := _bytes_above(key, bytes_max)) is not None:
        return f"the key has {size} bytes, key_bytes_max is {bytes_max}"
    return "the key holds a NUL character" if "\0" in key else None


def _bytes_above(text: str, bytes_max: int) -> int | None:
    """Return the size of `text` in UTF-8 if it is above `bytes_max`."""
    size = len(text.encode())
    return size if size > bytes_max else None


def _seconds(micros: int) -> str:
    whole, rest = divmod(micros, MICROS_PER_SECOND)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".")
