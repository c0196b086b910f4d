"""The gRPC face of usage."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import caller, tenant
from libs.clock import Clock
from libs.db import Snapshots
from libs.difference import Finding
from libs.verification import Counts, answers
from libs.wire import Faults, Page, parse_page, parse_request, parse_text
from services.rating.api.event_parsing import Defaults, parse_events
from services.rating.api.usage_parsing import parse_query, parse_usage, parse_watch
from services.rating.api.waiting import ack_seconds
from services.rating.operations.acks import Ack, Acks
from services.rating.operations.ambiguous import list_ambiguous
from services.rating.operations.estimating import estimate_events
from services.rating.operations.explaining import EventLog, explain_event
from services.rating.operations.log import LogPages
from services.rating.operations.querying import query_usage
from services.rating.operations.rebuilding import Rebuilder, rebuild_usage
from services.rating.operations.unattributed import list_unattributed
from services.rating.operations.usage import (
    UsageReader,
    find_customer,
    get_usage,
    get_usage_before,
)
from services.rating.operations.verifying_cells import verify_cells
from services.rating.operations.verifying_fees import verify_fees
from services.rating.operations.watching import Watched, Watches
from tally.rating.v1 import usage_service_pb2 as pb
from tally.rating.v1 import usage_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class IngestLog(EventLog, LogPages, Protocol):
    """The log: by event, by customer and by lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageServicer(usage_service_pb2_grpc.UsageServiceServicer):
    """Answers for usage."""

    engine: AsyncEngine
    worker: AsyncEngine
    log: IngestLog
    clock: Clock
    acks: Acks
    watches: Watches
    cells_per_day_max: int

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        """Return the usage of a period, priced."""
        asked = parse_usage(request, self.clock.now())
        await self._wait(asked.ack, asked.subscription_id, context)
        reader = self._reader()
        if asked.as_of is None:
            return await get_usage(reader, asked.subscription_id, asked.at)
        return await get_usage_before(reader, asked.subscription_id, asked.at, asked.as_of)

    async def QueryUsage(
        self, request: pb.QueryUsageRequest, context: Context
    ) -> pb.QueryUsageResponse:
        """Return usage by windows and groups."""
        query, ack = parse_query(request)
        await self._wait(ack, query.subscription_id, context)
        return await query_usage(self._reader(), query)

    async def WatchUsage(
        self, request: pb.WatchUsageRequest, context: Context
    ) -> AsyncGenerator[pb.WatchUsageResponse, None]:
        """Stream the usage of the current period as it changes."""
        asked = parse_watch(request)
        await self._wait(asked.ack, asked.subscription_id, context)
        watched = Watched(tenant(), asked.subscription_id, asked.resumed)
        async with aclosing(self.watches.follow(watched)) as answers:
            async for answer in answers:
                yield answer

    async def _wait(self, ack: Ack | None, subscription_id: str, context: Context) -> None:
        """Wait for the usage of what was recorded, so long that an answer can follow in time."""
        if ack is None:
            return
        customer_id = await find_customer(self.engine, tenant(), subscription_id)
        await self.acks.wait(tenant(), customer_id, ack, seconds=ack_seconds(context))

    def _reader(self) -> UsageReader:
        return UsageReader(self.engine, self.worker, self.log, tenant())

    async def EstimateEvents(
        self, request: pb.EstimateEventsRequest, context: Context
    ) -> pb.EstimateEventsResponse:
        """Return what events would cost."""
        faults = Faults()
        named = request.subscription_id
        with faults.gathered():
            parse_text(named, "subscription_id", required=False)
        if not request.events:
            faults.add("events", "is missing")
        defaults = Defaults(self.clock.now(), subscription_id=named)
        with faults.gathered():
            events = parse_events(request.events, "events", tenant(), defaults)
        faults.check()
        return await estimate_events(self._reader(), events)

    async def ExplainEvent(
        self, request: pb.ExplainEventRequest, context: Context
    ) -> pb.ExplainEventResponse:
        """Return what became of an event."""
        faults = Faults()
        with faults.gathered():
            source = parse_text(request.source, "source", required=False)
        with faults.gathered():
            id_ = parse_text(request.id, "id")
        faults.check()
        snapshots = self._reader().snapshots
        return await explain_event(snapshots, self.log, tenant(), source, id_)

    async def ListUnattributed(
        self, request: pb.ListUnattributedRequest, context: Context
    ) -> pb.ListUnattributedResponse:
        """Return a page of counts of events that nobody took."""
        return await list_unattributed(self.engine, tenant(), *_parse_listing(request))

    async def ListAmbiguous(
        self, request: pb.ListAmbiguousRequest, context: Context
    ) -> pb.ListAmbiguousResponse:
        """Return a page of counts of events that several subscriptions could have taken."""
        return await list_ambiguous(self.engine, tenant(), *_parse_listing(request))

    def RebuildUsage(
        self, request: pb.RebuildUsageRequest, context: Context
    ) -> AsyncGenerator[pb.RebuildUsageResponse, None]:
        """Stream how far a rebuild has come."""
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            customer_id = parse_text(request.customer_id, "customer_id", required=False)
        faults.check()
        rebuilder = Rebuilder(self._reader(), self.log, self.cells_per_day_max)
        return rebuild_usage(rebuilder, wanted, customer_id)

    def VerifyUsage(
        self, request: pb.VerifyUsageRequest, context: Context
    ) -> AsyncGenerator[pb.VerifyUsageResponse, None]:
        counts = Counts()
        snapshots = Snapshots(self.engine, self.worker, caller().tenant)
        return answers(pb.VerifyUsageResponse, self._verify(snapshots, counts), counts)

    async def _verify(
        self, snapshots: Snapshots, counts: Counter[str]
    ) -> AsyncGenerator[Finding, None]:
        for level in (
            verify_cells(snapshots, self.log, counts, cells_per_day_max=self.cells_per_day_max),
            verify_fees(snapshots, self.log, counts),
        ):
            async with aclosing(level):
                async for finding in level:
                    yield finding


def _parse_listing(
    request: pb.ListUnattributedRequest | pb.ListAmbiguousRequest,
) -> tuple[str, Page]:
    """Read whose counts are asked for, "" for all, and which page of them."""
    faults = Faults()
    with faults.gathered():
        customer_id = parse_text(request.customer_id, "customer_id", required=False)
    with faults.gathered():
        page = parse_page(request.page_size, request.page_token)
    faults.check()
    return customer_id, page
