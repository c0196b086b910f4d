"""The gRPC face of the event log: parse, do, answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import auth
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.partition import partition_of
from libs.wire import Faults, page_token, parse_page, parse_request, parse_text
from services.ingest.api import answers, parsing, submitting
from services.ingest.domain.candidates import Rules
from services.ingest.domain.columns import Selection
from services.ingest.operations import heads, reading, resubmitting
from services.ingest.operations.announcing import slice_message
from services.ingest.operations.correcting import Corrector, Identity
from services.ingest.operations.messages import stored_message
from services.ingest.operations.recording import Recorder
from services.ingest.operations.settings import LimitsCache
from services.ingest.store.rejected import RejectedPage
from services.ingest.store.settings import Topology
from tally.ingest.v1 import bulk_pb2, event_pb2, ingest_service_pb2_grpc
from tally.ingest.v1 import ingest_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]

PAGE_BYTES_MAX = 3 * 1024 * 1024  # Below the 4 MiB that gRPC clients take by default.


@dataclass(frozen=True, slots=True)
class IngestServicer(ingest_service_pb2_grpc.IngestServiceServicer):
    """Answers the ingest service's methods."""

    engine: AsyncEngine
    worker: AsyncEngine
    clock: Clock
    topology: Topology
    limits: LimitsCache
    recorder: Recorder
    corrector: Corrector

    async def RecordEvents(
        self, request: pb.RecordEventsRequest, context: Context
    ) -> pb.RecordEventsResponse:
        """Record a batch of events."""
        rules = await self._rules()
        submission = submitting.rows_of(rules, request, atomic=request.atomic)
        return answers.recorded_message(await self.recorder.record(submission))

    async def RecordColumns(
        self, request: bulk_pb2.RecordColumnsRequest, context: Context
    ) -> bulk_pb2.RecordColumnsResponse:
        """Record a batch of events as columns."""
        rules = await self._rules()
        submission = submitting.columns_of(rules, request.columns, atomic=request.atomic)
        return answers.columns_message(await self.recorder.record(submission))

    async def _rules(self) -> Rules:
        """Return what decides on a request of the caller that is received now."""
        tenant, received = auth.tenant(), parsing.micros(self.clock.now())
        limits = await self.limits.load(tenant)
        return Rules(tenant, limits, received, self.topology.partitions, self.topology.key_secret)

    async def AmendEvent(
        self, request: pb.AmendEventRequest, context: Context
    ) -> pb.AmendEventResponse:
        """Give a stored event new content."""
        command = parse_request(request, request.request_id)
        if not request.HasField("event"):
            raise FieldInvalid("event", "is missing")
        rules = await self._rules()
        submission = submitting.row_of(rules, request.event)
        return await self.corrector.amend(command, submission)

    async def RetractEvent(
        self, request: pb.RetractEventRequest, context: Context
    ) -> pb.RetractEventResponse:
        """Take a stored event back."""
        faults = Faults()
        with faults.gathered():
            command = parse_request(request, request.request_id)
        with faults.gathered():
            source = parse_text(request.source, "source", required=False)
        with faults.gathered():
            event_id = parse_text(request.id, "id")
        faults.check()
        return await self.corrector.retract(command, Identity(auth.tenant(), source, event_id))

    async def ResubmitRejected(
        self, request: pb.ResubmitRejectedRequest, context: Context
    ) -> pb.ResubmitRejectedResponse:
        """Record rejected events again."""
        tenant, ids = auth.tenant(), parsing.parse_resubmitted(request)
        rules = await self._rules()
        sent = await resubmitting.load_contents(self.engine, tenant, ids)
        events = [
            one.event if one.HasField("event") else event_pb2.Event.FromString(sent[rejected_id])
            for rejected_id, one in zip(ids, request.resubmissions, strict=True)
        ]
        batch = pb.RecordEventsRequest(events=events)
        submission = submitting.rows_of(rules, batch, atomic=False)
        recorded = await self.recorder.record(submission)
        await resubmitting.mark(self.engine, tenant, ids, recorded, now=self.clock.now())
        answer = answers.recorded_message(recorded)
        return pb.ResubmitRejectedResponse(verdicts=answer.verdicts, ack_token=answer.ack_token)

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        """Return one stored event."""
        found = await reading.get_event(
            self.engine,
            auth.tenant(),
            source=parse_text(request.source, "source", required=False),
            event_id=parse_text(request.id, "id"),
            key_secret=self.topology.key_secret,
        )
        return pb.GetEventResponse(event=stored_message(found))

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        """List stored events in log order."""
        tenant = auth.tenant()
        start, end = parsing.parse_bounds(request)
        selection = Selection(
            tenant,
            type=parsing.parse_filter(request.type, "type"),
            customer_id=parsing.parse_filter(request.customer_id, "customer_id"),
            subscription_id=parsing.parse_filter(request.subscription_id, "subscription_id"),
            start=None if start is None else parsing.micros(start),
            end=None if end is None else parsing.micros(end),
        )
        page = parse_page(request.page_size, request.page_token)
        partition = None
        if selection.customer_id is not None:
            partition = partition_of(tenant, selection.customer_id, self.topology.partitions)
        found = await reading.list_events(
            self.engine,
            reading.log_range(tenant, partition=partition, start=start, end=end),
            selection,
            page_size=page.size,
            after=parsing.parse_position(page.token),
            as_of=parsing.parse_as_of(request),
        )
        return _events_answer(found)

    async def ListRejectedEvents(
        self, request: pb.ListRejectedEventsRequest, context: Context
    ) -> pb.ListRejectedEventsResponse:
        """List events that were rejected or in conflict, newest first."""
        page = parse_page(request.page_size, request.page_token)
        asked = RejectedPage(
            customer_id=parsing.parse_filter(request.customer_id, "customer_id") or "",
            reason=parsing.parse_reason(request.reason),
            before=parsing.parse_before(page.token),
            rows_max=page.size,
            bytes_max=PAGE_BYTES_MAX,
        )
        rejected, more = await reading.list_rejected(self.engine, auth.tenant(), asked)
        last = rejected[-1] if more else None
        return pb.ListRejectedEventsResponse(
            events=[answers.rejected_message(one) for one in rejected],
            next_page_token=page_token(last.received_at, last.rejected_event_id) if last else "",
        )

    async def StreamSegments(
        self, request: pb.StreamSegmentsRequest, context: Context
    ) -> AsyncGenerator[pb.StreamSegmentsResponse, None]:
        """Stream a partition's slices from a number to the head."""
        shard = parsing.parse_place(request.shard, "shard", self.topology.shards)
        partition = parsing.parse_place(request.partition, "partition", self.topology.partitions)
        after = request.after_number
        if after < 0:
            raise FieldInvalid("after_number", f"is {after}, must not be below 0")
        while slices := await heads.load_slices(
            self.worker,
            shard=shard,
            partition=partition,
            after=after,
            corrections_only=request.corrections_only,
        ):
            for part in slices:
                yield pb.StreamSegmentsResponse(slice=slice_message(part))
            after = slices[-1].number

    async def GetHeads(self, request: pb.GetHeadsRequest, context: Context) -> pb.GetHeadsResponse:
        """Return the newest numbers of shards, and up to when these are final."""
        for place, shard in enumerate(request.shards):
            parsing.parse_place(shard, f"shards[{place}]", self.topology.shards)
        shards = sorted(set(request.shards)) or list(range(self.topology.shards))
        found = await heads.load_heads(self.worker, self.clock, shards)
        return pb.GetHeadsResponse(heads=[answers.head_message(head) for head in found])


def _events_answer(found: reading.EventPage) -> pb.ListEventsResponse:
    """Write a page; one that grows too large for a client is cut and resumed where it was cut."""
    answer = pb.ListEventsResponse()
    size, resume = 0, found.resume
    for place, event in enumerate(found.events):
        message = stored_message(event)
        size += message.ByteSize()
        if place and size > PAGE_BYTES_MAX:
            resume = found.events[place - 1].position
            break
        answer.events.append(message)
    if resume is not None:
        answer.next_page_token = page_token(resume.number, resume.index)
    return answer
