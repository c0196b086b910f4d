"""Events as the contract writes them."""

from __future__ import annotations

import base64
from datetime import timedelta

from libs.wire import EPOCH, timestamp
from services.ingest.domain.event import MICROS_PER_SECOND, Event, PropertyValue, Unreadable
from services.ingest.domain.number import Number
from services.ingest.domain.version import Found
from services.ingest.operations.sealing import SHARD
from tally.ingest.v1 import event_pb2


def ack_token(number: int) -> str:
    """Name the segment `number` for a read that waits for it: base64 of shard:number."""
    place = f"{SHARD}:{number}".encode()
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def stored_message(found: Found) -> event_pb2.StoredEvent:
    """Write an event as the log keeps it."""
    stored = event_pb2.StoredEvent(
        event=event_message(found.logged.event),
        received_at=timestamp(EPOCH + timedelta(microseconds=found.logged.received)),
        position=event_pb2.LogPosition(
            shard=SHARD, number=found.position.number, index=found.position.index
        ),
        version=found.version,
        corrected_at=None if found.corrected_at is None else timestamp(found.corrected_at),
        retracted=found.retracted,
        time_is_receipt=found.logged.event.time is None,
    )
    seconds, micros = divmod(found.logged.time, MICROS_PER_SECOND)
    stored.event.time.seconds, stored.event.time.nanos = seconds, micros * 1_000
    return stored


def event_message(event: Event) -> event_pb2.Event:
    """Write what a client sent."""
    amount, time = event.amount, event.time
    assert not isinstance(amount, Unreadable) and not isinstance(time, Unreadable)
    message = event_pb2.Event(
        id=event.id,
        source=event.source,
        type=event.type,
        customer_id=event.customer_id,
        subscription_id=event.subscription_id,
        properties={key: _value_message(value) for key, value in event.properties.items()},
        amount="" if amount is None else amount.canonical(),
        hold_id=event.hold_id,
    )
    if time is not None:
        seconds, micros = divmod(time, MICROS_PER_SECOND)
        message.time.seconds, message.time.nanos = seconds, micros * 1_000
    return message


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
