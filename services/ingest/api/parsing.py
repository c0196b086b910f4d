"""Requests as the domain knows them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from libs.errors import FieldInvalid
from libs.wire import (
    EPOCH,
    Faults,
    PageTokenInvalid,
    parse_page_token,
    parse_text,
    parse_timestamp,
    parse_uuid,
)
from services.ingest.domain.version import Position
from services.ingest.operations.reading import AsOf
from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb

MICROSECOND = timedelta(microseconds=1)
RESUBMISSIONS_MAX = 1_000
NUMBER_MAX, INDEX_MAX = 2**63 - 1, 2**31 - 1


def micros(instant: datetime) -> int:
    """Return microseconds since 1970."""
    return (instant - EPOCH) // MICROSECOND


def parse_bounds(
    request: pb.ListEventsRequest,
) -> tuple[datetime | None, datetime | None]:
    """Read start and end, where they are given."""
    start = parse_timestamp(request.start, "start") if request.HasField("start") else None
    end = parse_timestamp(request.end, "end") if request.HasField("end") else None
    return start, end


def parse_as_of(request: pb.ListEventsRequest) -> AsOf:
    """Read with which corrections events are asked for."""
    if request.corrected_through < 0:
        raise FieldInvalid(
            "corrected_through", f"is {request.corrected_through}, must not be below 0"
        )
    return AsOf(request.corrected_through, request.include_retracted)


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


def parse_resubmitted(request: pb.ResubmitRejectedRequest) -> list[UUID]:
    """Read the ids of the rejected events that are to be recorded again, 1 to 1,000."""
    faults = Faults()
    count = len(request.resubmissions)
    if not 1 <= count <= RESUBMISSIONS_MAX:
        raise FieldInvalid("resubmissions", f"are {count}, must be 1 to {RESUBMISSIONS_MAX}")
    ids: list[UUID] = []
    for place, one in enumerate(request.resubmissions):
        with faults.gathered():
            field = f"resubmissions[{place}].rejected_event_id"
            ids.append(parse_uuid(one.rejected_event_id, field))
    faults.check()
    return ids


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
