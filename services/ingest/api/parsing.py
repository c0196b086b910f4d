"""Requests as the domain knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from libs.errors import FieldInvalid
from libs.wire import EPOCH, PageTokenInvalid, parse_page_token, parse_text, parse_timestamp
from services.ingest.domain.candidate import Candidate, Rules, make_candidate
from services.ingest.domain.event import Event, PropertyValue, Unreadable, parse_time
from services.ingest.domain.number import Number, parse_number
from services.ingest.operations.reading import Position
from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb

MICROSECOND = timedelta(microseconds=1)
GRAMMAR = "is not a decimal of at most 64 characters, below 10^30 with at most 30 places"
NUMBER_MAX, INDEX_MAX = 2**63 - 1, 2**31 - 1


def micros(instant: datetime) -> int:
    """Return microseconds since 1970."""
    return (instant - EPOCH) // MICROSECOND


def make_candidates(events: Sequence[event_pb2.Event], rules: Rules) -> list[Candidate]:
    """Check every event of a request. Runs in a thread for a large one."""
    candidates = []
    for event in events:
        # Deterministic, so that a rejected event is recognised when it is sent again.
        content = event.SerializeToString(deterministic=True)
        fits = len(content) <= rules.limits.event_bytes_max
        # One that is too large may have a million properties: they are not looked at.
        properties = event.properties if fits else {}
        candidates.append(make_candidate(read_event(event, properties), content, rules))
    return candidates


def read_event(
    message: event_pb2.Event, properties: Mapping[str, event_pb2.PropertyValue]
) -> Event:
    """Read an event as it was sent, with `properties`; what breaks its grammar is Unreadable."""
    time, amount = None, message.amount
    if message.HasField("time"):
        sent = message.time
        time = parse_time(sent.seconds, sent.nanos)
    return Event(
        message.id,
        message.source,
        message.type,
        time,
        message.customer_id,
        message.subscription_id,
        # A text that is not empty is the one kind that need not be asked for.
        {key: one.text or _read_value(one) for key, one in properties.items()},
        _read_number(amount) if amount else None,
        message.hold_id,
    )


def parse_bounds(
    request: pb.ListEventsRequest,
) -> tuple[datetime | None, datetime | None]:
    """Read start and end, where they are given."""
    start = parse_timestamp(request.start, "start") if request.HasField("start") else None
    end = parse_timestamp(request.end, "end") if request.HasField("end") else None
    return start, end


def parse_filter(text: str, field: str) -> str | None:
    """Read a text to choose by; an empty one does not choose."""
    return parse_text(text, field, required=False) or None


def parse_position(token: str) -> Position | None:
    """Read the token of a page of events; None for the first page."""
    keys = parse_page_token(token, int, int)
    if not keys:
        return None
    number, index = cast(tuple[int, int], keys)
    if not (0 < number <= NUMBER_MAX and 0 <= index <= INDEX_MAX):
        raise PageTokenInvalid("page_token names no place in the log")
    return Position(number, index)


def parse_before(token: str) -> tuple[datetime, UUID] | None:
    """Read the token of a page of rejected events; None for the first page."""
    keys = parse_page_token(token, datetime, UUID)
    if keys and cast(datetime, keys[0]).tzinfo is None:
        raise PageTokenInvalid("page_token names no instant")
    return cast(tuple[datetime, UUID], keys) if keys else None


def parse_reason(value: int) -> str:
    """Read the reason to choose by; "" for UNSPECIFIED, which does not choose."""
    if value == 0:
        return ""
    if value not in event_pb2.RejectionReason.values():
        raise FieldInvalid("reason", f"{value} is not a reason")
    name: str = event_pb2.RejectionReason.Name(event_pb2.RejectionReason.ValueType(value))
    return name.removeprefix("REJECTION_REASON_")


def parse_place(value: int, field: str, count: int) -> int:
    """Read the number of a shard or partition, 0 to count - 1."""
    if not 0 <= value < count:
        raise FieldInvalid(field, f"is {value}, must be 0 to {count - 1}")
    return value


def _read_value(value: event_pb2.PropertyValue) -> PropertyValue:
    kind = value.WhichOneof("kind")
    if kind == "text":
        return value.text
    if kind == "decimal":
        return _read_number(value.decimal)
    if kind == "flag":
        return value.flag
    return Unreadable("the property has no value")


def _read_number(text: str) -> Number | Unreadable:
    return parse_number(text) or Unreadable(f"{text[:70]!r} {GRAMMAR}")
