"""What ingest says: slices of its log, over NATS or gRPC, and how far it has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal

import grpc
import numpy as np
import zstandard

from libs.peer import call, stream
from libs.planes import from_planes
from libs.tenant import Tenant
from libs.wire import parse_timestamp, timestamp
from services.rating.domain.columns import (
    EventColumns,
    Ints,
    Kind,
    PropertyColumn,
    Slice,
    read_amount,
)
from services.rating.domain.event import (
    Correction,
    LogPlace,
    Moment,
    PropertyValue,
    ShardHead,
    UsageEvent,
    micros,
)
from services.rating.operations.log import LogUnreadable
from services.rating.store.applied import Lane
from tally.ingest.v1 import event_pb2, ingest_service_pb2_grpc, segment_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb

FORMAT = 1
PAGE_SIZE = 1_000
PAGE_EVENTS = 50_000
CONTENT_BYTES_MAX = 256 * 1024 * 1024
INT32, UINT32, INT64, INT8, UINT8 = "<i4", "<u4", "<i8", "<i1", "<u1"


class SliceUnreadable(Exception):
    """A slice is in a format that this version of rating does not know."""


class IngestLog:
    """The log of the ingest service: the `operations.log.Log` of rating."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ingest_service_pb2_grpc.IngestServiceStub(channel)

    async def heads(self) -> Sequence[ShardHead]:
        """Return the heads of all shards.

        Raises:
            Unavailable: a shard is away.
        """
        answer = await call(self._stub.GetHeads, pb.GetHeadsRequest(), tenant=None)
        return [
            ShardHead(
                shard=head.shard,
                through=parse_timestamp(head.through, "through"),
                slice_numbers=tuple(head.slice_numbers),
            )
            for head in answer.heads
        ]

    async def slices(
        self, lane: Lane, *, after: int, corrections_only: bool = False
    ) -> AsyncGenerator[segment_pb2.Slice, None]:
        """Give the slices of `lane` after the number `after`, in order. Errors as for `heads`."""
        request = pb.StreamSegmentsRequest(
            shard=lane.shard,
            partition=lane.partition,
            after_number=after,
            corrections_only=corrections_only,
        )
        answers = stream(self._stub.StreamSegments, request, tenant=None)
        async with aclosing(answers):
            async for answer in answers:
                yield answer.slice

    async def page(self, lane: Lane, *, after: int) -> Sequence[Slice]:
        """Return the next slices of `lane` after a number, of some 50,000 events; none at its end.

        Raises:
            LogUnreadable: one of them cannot be read.
        """
        found: list[segment_pb2.Slice] = []
        events = 0
        async with aclosing(self.slices(lane, after=after)) as pieces:
            async for piece in pieces:
                found.append(piece)
                events += piece.event_count
                if events >= PAGE_EVENTS:
                    break
        return await asyncio.to_thread(lambda: [_read_whole(piece) for piece in found])

    async def corrections(self, lane: Lane, *, through: int) -> Sequence[Correction]:
        """Return the corrections in the slices of `lane` up to the number `through`, in order.

        Raises:
            LogUnreadable: one of them cannot be read.
        """
        found: list[Correction] = []
        async with aclosing(self.slices(lane, after=0, corrections_only=True)) as pieces:
            async for piece in pieces:
                if piece.number > through:
                    break
                found += _read_whole(piece).corrections
        return found

    async def event(
        self, tenant: Tenant, source: str, id_: str
    ) -> tuple[event_pb2.StoredEvent, UsageEvent]:
        """Return an event by its identity, as it is stored and as rating reads it.

        Raises:
            NotFound: there is none; the reason is EVENT_NOT_FOUND.
            Unavailable: a shard is away.
        """
        request = pb.GetEventRequest(source=source, id=id_)
        stored = (await call(self._stub.GetEvent, request, tenant=tenant)).event
        return stored, _read_stored(tenant, stored)

    async def events(
        self,
        tenant: Tenant,
        customer_id: str,
        *,
        start: datetime,
        end: datetime | None = None,
        event_type: str = "",
        corrected_through: int = 0,
    ) -> AsyncGenerator[Sequence[UsageEvent], None]:
        """Give a customer's events at and after `start`, page by page in log order."""
        request = pb.ListEventsRequest(
            customer_id=customer_id,
            type=event_type,
            start=timestamp(start),
            end=None if end is None else timestamp(end),
            page_size=PAGE_SIZE,
            corrected_through=corrected_through,
        )
        while True:
            answer = await call(self._stub.ListEvents, request, tenant=tenant)
            yield [_read_stored(tenant, stored) for stored in answer.events]
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token


def read_slice(message: segment_pb2.Slice) -> Slice:
    """Return what a slice with content holds.

    Raises:
        SliceUnreadable: its format is not known here.
    """
    decompressor = zstandard.ZstdDecompressor()
    serialized = decompressor.decompress(message.content, max_output_size=CONTENT_BYTES_MAX)
    content = segment_pb2.SliceContent.FromString(serialized)
    if content.format != FORMAT:
        raise SliceUnreadable(f"a slice has the format {content.format}, only {FORMAT} is known")
    return Slice(
        shard=message.shard,
        partition=message.partition,
        number=message.number,
        previous_number=message.previous_number,
        traceparent=message.traceparent,
        columns=_read_columns(content),
        corrections=[_read_correction(each) for each in content.corrections],
    )


def _read_whole(message: segment_pb2.Slice) -> Slice:
    """Return a slice; whatever is wrong with it, its content cannot be read."""
    try:
        return read_slice(message)
    except Exception as error:
        raise LogUnreadable(f"slice {message.number} cannot be read: {error}") from error


def _read_columns(content: segment_pb2.SliceContent) -> EventColumns:
    every_row = np.arange(content.event_count)
    return EventColumns(
        strings=content.strings,
        tenants=_numbers(INT32, content.tenants),
        customers=_numbers(UINT32, content.customer_ids),
        subscriptions=_numbers(UINT32, content.subscription_ids),
        types=_numbers(UINT32, content.types),
        times=_numbers(INT64, content.times),
        indexes=_numbers(INT32, content.indexes),
        amounts=_numbers(UINT32, content.amounts),
        properties=[_read_property_column(column, every_row) for column in content.properties],
    )


def _read_property_column(column: segment_pb2.PropertyColumn, every_row: Ints) -> PropertyColumn:
    rows = _numbers(INT32, column.rows) if column.rows else every_row
    match column.WhichOneof("values"):
        case "texts":
            return PropertyColumn(column.name, Kind.TEXT, rows, _numbers(UINT32, column.texts))
        case "decimals":
            return PropertyColumn(
                column.name,
                Kind.DECIMAL,
                rows,
                _numbers(INT64, column.decimals.mantissas),
                _numbers(INT8, column.decimals.exponents),
            )
        case "large_decimals":
            places = _numbers(UINT32, column.large_decimals)
            return PropertyColumn(column.name, Kind.LARGE_DECIMAL, rows, places)
        case "flags":
            return PropertyColumn(column.name, Kind.FLAG, rows, _numbers(UINT8, column.flags))
        case other:
            raise SliceUnreadable(f"a property column holds {other}, which is not known here")


def _numbers(code: str, content: bytes) -> Ints:
    return from_planes(content, code).astype(np.int64)


def _read_correction(message: segment_pb2.Correction) -> Correction:
    tenant, position = Tenant(message.tenant), message.position
    removed = None
    if message.HasField("removed"):
        time = micros(parse_timestamp(message.removed.time, "time"))
        removed = (message.removed.customer_id, time)
    return Correction(
        tenant=tenant,
        at=LogPlace(position.shard, position.number, position.index),
        removed=removed,
        added=_read_stored(tenant, message.added) if message.HasField("added") else None,
    )


def _read_stored(tenant: Tenant, stored: event_pb2.StoredEvent) -> UsageEvent:
    event, position = stored.event, stored.position
    time = micros(parse_timestamp(event.time, "time"))
    return UsageEvent(
        tenant=tenant,
        customer_id=event.customer_id,
        subscription_id=event.subscription_id,
        type=event.type,
        moment=Moment(time, position.shard, position.number, position.index),
        properties={name: _read_property(value) for name, value in event.properties.items()},
        amount=read_amount(event.amount),
        source=event.source,
        id=event.id,
    )


def _read_property(value: event_pb2.PropertyValue) -> PropertyValue:
    match value.WhichOneof("kind"):
        case "decimal":
            return Decimal(value.decimal)
        case "flag":
            return value.flag
        case _:
            return value.text
