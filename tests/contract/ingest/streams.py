"""A producer on a stream, and what holds commits up from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from cli.client import Refusal, refusal
from libs import db
from tally.ingest.v1 import bulk_pb2, event_pb2, ingest_service_pb2_grpc
from tests.contract.ingest.conftest import Client, Ingest

LONG_SECONDS = 120  # Far more than any test takes.
HOLD_COMMITS = "SELECT 1 FROM shard FOR UPDATE"


@dataclass(slots=True)
class Stream:
    """One StreamEvents call, and what it was answered so far."""

    call: Any
    sent: int = 0
    answers: list[bulk_pb2.StreamEventsResponse] = field(default_factory=list)

    async def send(self, *events: event_pb2.Event) -> None:
        """Send the next batch; returns when gRPC has taken it."""
        batch = bulk_pb2.EventBatch(events=events)
        await self.write(bulk_pb2.StreamEventsRequest(batch_number=self.sent + 1, events=batch))
        self.sent += 1

    async def write(self, request: bulk_pb2.StreamEventsRequest) -> None:
        await self.call.write(request)

    async def read_through(self, number: int) -> bulk_pb2.StreamEventsResponse:
        """Read answers until the batch is acknowledged; return the last one."""
        while not self.answers or self.answers[-1].acked_through < number:
            answer = await self.call.read()
            assert answer is not grpc.aio.EOF, f"ended without {number}: {self.answers}"
            self.answers.append(answer)
        return self.answers[-1]

    async def end(self) -> list[bulk_pb2.StreamEventsResponse]:
        """Send no more; return all answers."""
        await self.call.done_writing()
        return await self.read_all()

    async def read_all(self) -> list[bulk_pb2.StreamEventsResponse]:
        """Read answers to the end; return all."""
        while (answer := await self.call.read()) is not grpc.aio.EOF:
            self.answers.append(answer)
        return self.answers

    async def refused(self) -> Refusal:
        """Read answers to the end, and return how the stream was refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.read_all()
        return refusal(caught.value)

    @property
    def acked_through(self) -> int:
        return self.answers[-1].acked_through if self.answers else 0

    def count(self) -> tuple[int, int]:
        """Return how many events were accepted, and how many were duplicates."""
        accepted = sum(answer.accepted_count for answer in self.answers)
        return accepted, sum(answer.duplicate_count for answer in self.answers)


def open_stream(client: Client) -> Stream:
    """Open a stream."""
    stub = ingest_service_pb2_grpc.IngestServiceStub(client.channel)
    return Stream(stub.StreamEvents(metadata=client.metadata, timeout=LONG_SECONDS))


@dataclass(frozen=True, slots=True)
class Holder:
    """Holds the shard's row, without which nothing is committed."""

    conn: AsyncConnection

    async def seals_wait(self) -> bool:
        """Tell whether a seal waits for the row."""
        return bool(await self._of_waiting("pid"))

    async def end_waiting(self) -> None:
        """End the connections of those that wait."""
        await self._of_waiting("pg_terminate_backend(pid)")

    async def _of_waiting(self, value: str) -> Sequence[object]:
        # In a transaction the view stays as it was seen first.
        await self.conn.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        found = await self.conn.exec_driver_sql(
            f"SELECT {value} FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'"
        )
        return found.all()


@asynccontextmanager
async def held_commits(ingest: Ingest) -> AsyncIterator[Holder]:
    """Let nothing be committed meanwhile."""
    url = ingest.service.environment["INGEST_WORKER_DATABASE_URL"]
    engine = db.connect(url, connections_max=1)
    try:
        async with db.begin_worker(engine) as conn:
            await conn.exec_driver_sql(HOLD_COMMITS)
            yield Holder(conn)
    finally:
        await engine.dispose()
