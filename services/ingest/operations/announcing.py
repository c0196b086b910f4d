"""Slices as the contract writes them, and the messages that announce them."""

from __future__ import annotations

from libs.wire import timestamp
from services.ingest.store.segments import Slice
from tally.ingest.v1 import events_pb2, segment_pb2

SUBJECT = events_pb2.SegmentSealed.DESCRIPTOR.full_name
CONTENT_BYTES_MAX = 700 * 1024  # NATS takes 1 MiB; what is larger is read with StreamSegments.


def segment_sealed(part: Slice) -> events_pb2.SegmentSealed:
    """Return the message that announces `part`; a large content stays behind."""
    message = slice_message(part)
    if len(part.content) > CONTENT_BYTES_MAX:
        message.content = b""
    return events_pb2.SegmentSealed(slice=message)


def slice_message(part: Slice) -> segment_pb2.Slice:
    """Write a slice, with its content."""
    return segment_pb2.Slice(
        shard=part.shard,
        partition=part.partition,
        number=part.number,
        previous_number=part.previous_number,
        event_count=part.event_count,
        sealed_at=timestamp(part.sealed_at),
        traceparent=part.traceparent,
        content=part.content,
    )


def headers_of(part: Slice) -> dict[str, str]:
    """Return the headers of its message: its identity, and the trace of its seal."""
    headers = {"Nats-Msg-Id": f"{part.shard}-{part.number}-{part.partition}"}
    if part.traceparent:
        headers["traceparent"] = part.traceparent
    return headers
