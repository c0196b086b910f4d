"""A service's facts over gRPC: what NATS lost is pulled from here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox
from libs.db import begin_worker
from libs.inbox import Fact
from libs.peer import call, stream
from libs.tenant import Tenant
from tally.internal.v1 import fact_service_pb2 as pb
from tally.internal.v1 import fact_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

BATCH_MAX = 500


class FactServicer(fact_service_pb2_grpc.FactServiceServicer):
    """Serves the outbox, in order."""

    def __init__(self, worker: AsyncEngine) -> None:
        self._worker = worker

    async def StreamFacts(
        self, request: pb.StreamFactsRequest, context: Context
    ) -> AsyncIterator[pb.StreamFactsResponse]:
        after = request.after_seq
        while True:
            async with begin_worker(self._worker) as conn:
                rows = await outbox.load_after(conn, after, batch_max=BATCH_MAX)
            for row in rows:
                yield pb.StreamFactsResponse(
                    seq=row.seq,
                    event_id=str(row.event_id),
                    tenant=row.tenant,
                    subject=row.subject,
                    headers=row.headers,
                    payload=row.payload,
                )
            if len(rows) < BATCH_MAX:
                return
            after = rows[-1].seq

    async def GetOutboxHead(
        self, request: pb.GetOutboxHeadRequest, context: Context
    ) -> pb.GetOutboxHeadResponse:
        async with begin_worker(self._worker) as conn:
            head = await outbox.load_head(conn)
        return pb.GetOutboxHeadResponse(seq=head.seq, waiting=head.waiting)


class FactClient:
    """Reaches the facts of a peer: the `Upstream` of a `libs.bus.FactConsumer`.

    `channel` is one of `libs.peer.channel`, which presents the token.
    """

    def __init__(self, channel: grpc.aio.Channel, *, source: str) -> None:
        self._stub = fact_service_pb2_grpc.FactServiceStub(channel)
        self._source = source

    async def head(self) -> int:
        """Return the number of the newest fact."""
        answer = await call(self._stub.GetOutboxHead, pb.GetOutboxHeadRequest(), tenant=None)
        return answer.seq

    async def stream(self, after_seq: int) -> AsyncIterator[Fact]:
        """Give the facts after `after_seq`, in order."""
        request = pb.StreamFactsRequest(after_seq=after_seq)
        async for fact in stream(self._stub.StreamFacts, request, tenant=None):
            yield Fact(
                tenant=Tenant(fact.tenant),
                source=self._source,
                seq=fact.seq,
                event_id=UUID(fact.event_id),
                subject=fact.subject,
                payload=fact.payload,
                headers=dict(fact.headers),
            )
