"""Answers as the contract writes them."""

from __future__ import annotations

import base64
from datetime import timedelta

from libs.wire import EPOCH, timestamp
from services.ingest.domain.event import Event, PropertyValue, Unreadable
from services.ingest.domain.number import Number
from services.ingest.domain.validation import Reason
from services.ingest.domain.verdicts import Judgement, Verdict
from services.ingest.operations.reading import Found
from services.ingest.operations.recording import Recorded
from services.ingest.operations.sealing import SHARD
from services.ingest.store.rejected import RejectedEvent
from services.ingest.store.segments import ShardHead
from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb

VERDICTS = {one: event_pb2.Verdict.Value(f"VERDICT_{one.value}") for one in Verdict}
REASONS = {one: event_pb2.RejectionReason.Value(f"REJECTION_REASON_{one.value}") for one in Reason}
MICROS_PER_SECOND = 1_000_000
ACCEPTED = pb.EventVerdict(verdict=event_pb2.VERDICT_ACCEPTED)


def recorded_message(recorded: Recorded) -> pb.RecordEventsResponse:
    """Write the verdicts on a request, and its ack token: base64 of shard:number."""
    place = f"{recorded.shard}:{recorded.number}".encode()
    return pb.RecordEventsResponse(
        verdicts=[_verdict_message(judged) for judged in recorded.judgements],
        ack_token=base64.urlsafe_b64encode(place).decode().rstrip("="),
    )


def stored_message(found: Found) -> event_pb2.StoredEvent:
    """Write an event as the log keeps it."""
    stored = event_pb2.StoredEvent(
        event=_event_message(found.logged.event),
        received_at=timestamp(EPOCH + timedelta(microseconds=found.logged.received)),
        position=event_pb2.LogPosition(
            shard=SHARD, number=found.position.number, index=found.position.index
        ),
    )
    seconds, micros = divmod(found.logged.time, MICROS_PER_SECOND)
    stored.event.time.seconds, stored.event.time.nanos = seconds, micros * 1_000
    return stored


def rejected_message(rejected: RejectedEvent) -> pb.RejectedEvent:
    """Write an event that counts nowhere."""
    return pb.RejectedEvent(
        rejected_event_id=str(rejected.rejected_event_id),
        event=event_pb2.Event.FromString(rejected.content),
        reason=REASONS[rejected.rejection.reason],
        field=rejected.rejection.field,
        detail=rejected.rejection.detail,
        received_at=timestamp(rejected.received_at),
        times_sent=rejected.times_sent,
    )


def head_message(head: ShardHead) -> pb.ShardHead:
    """Write the newest numbers of a shard."""
    return pb.ShardHead(
        shard=head.shard,
        number=head.number,
        through=timestamp(head.through),
        slice_numbers=head.slice_numbers,
    )


def _verdict_message(judged: Judgement) -> pb.EventVerdict:
    if judged.verdict is Verdict.ACCEPTED:
        return ACCEPTED
    if judged.rejection is None:
        return pb.EventVerdict(verdict=VERDICTS[judged.verdict])
    return pb.EventVerdict(
        verdict=VERDICTS[judged.verdict],
        reason=REASONS[judged.rejection.reason],
        field=judged.rejection.field,
        detail=judged.rejection.detail,
    )


def _event_message(event: Event) -> event_pb2.Event:
    amount = event.amount
    assert not isinstance(amount, Unreadable)
    return event_pb2.Event(
        id=event.id,
        source=event.source,
        type=event.type,
        customer_id=event.customer_id,
        subscription_id=event.subscription_id,
        properties={key: _value_message(value) for key, value in event.properties.items()},
        amount="" if amount is None else amount.canonical(),
        hold_id=event.hold_id,
    )


def _value_message(value: PropertyValue) -> event_pb2.PropertyValue:
    match value:
        case str():
            return event_pb2.PropertyValue(text=value)
        case Number():
            return event_pb2.PropertyValue(decimal=value.canonical())
        case bool():
            return event_pb2.PropertyValue(flag=value)
        case Unreadable():
            raise AssertionError("an event at fault is in no segment")
