"""Stored events, page after page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from cli.client import SuiteClient
from cli.events.access import Access
from cli.events.event import Event, Value
from cli.events.retrying import answered
from tally.ingest.v1 import event_pb2 as pb
from tally.ingest.v1.ingest_service_pb2 import ListEventsRequest, ListEventsResponse

PAGE_SIZE = 1_000
MICROS_PER_SECOND = 1_000_000


class StoredEvent(NamedTuple):
    """An event of the log, as it was sent: without a time if the client gave none."""

    event: Event
    received: int  # Microseconds since 1970.


async def fetch_events(
    client: SuiteClient, access: Access, wanted: ListEventsRequest
) -> AsyncIterator[list[StoredEvent]]:
    """Give the events that `wanted` chooses, in log order; the next page comes meanwhile.

    Raises:
        NoAnswer: the suite refuses, or does not answer for as long as we wait.
    """

    async def page(token: str) -> ListEventsResponse:
        request = ListEventsRequest(page_size=PAGE_SIZE, page_token=token)
        request.MergeFrom(wanted)
        return await answered(lambda: client.ingest.ListEvents(request, metadata=access.metadata()))

    coming = asyncio.create_task(page(""))
    try:
        while True:
            found = await coming
            if found.next_page_token:
                coming = asyncio.create_task(page(found.next_page_token))
                await asyncio.sleep(0)
            yield [stored_event(one) for one in found.events]
            if not found.next_page_token:
                return
    finally:
        coming.cancel()


def stored_event(stored: pb.StoredEvent) -> StoredEvent:
    """Return an event as it was sent, and when it was received."""
    sent = stored.event
    event = Event(
        id=sent.id,
        source=sent.source,
        type=sent.type,
        time=None if stored.time_is_receipt else _micros(sent.time),
        customer_id=sent.customer_id,
        subscription_id=sent.subscription_id,
        properties={key: _value(value) for key, value in sent.properties.items()},
        amount=Decimal(sent.amount) if sent.amount else None,
        hold_id=sent.hold_id,
    )
    return StoredEvent(event, _micros(stored.received_at))


def _micros(stamp: Timestamp) -> int:
    return stamp.seconds * MICROS_PER_SECOND + stamp.nanos // 1_000


def _value(value: pb.PropertyValue) -> Value:
    match value.WhichOneof("kind"):
        case "text":
            return value.text
        case "flag":
            return value.flag
        case _:
            return Decimal(value.decimal)
