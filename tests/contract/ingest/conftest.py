"""The running ingest service, by itself, and a client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from deploy.embedded.ports import choose_port
from services.ingest.app import serve
from services.ingest.settings import Settings
from tally.ingest.v1 import event_pb2, ingest_service_pb2_grpc
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.servers import Database
from tests.unit.libs.keys import Keys

SCOPES = ("events:write", "events:read")


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call was refused: its code, its reason, and the fields at fault."""

    code: str
    reason: str
    fields: list[str]


@dataclass(frozen=True, slots=True)
class Client:
    """Calls ingest in the name of one tenant, or with None as a service of the suite."""

    channel: grpc.aio.Channel
    token: str

    async def call(self, method: str, request: Message) -> Any:
        stub = ingest_service_pb2_grpc.IngestServiceStub(self.channel)
        metadata = (("authorization", f"Bearer {self.token}"),)
        return await getattr(stub, method)(request, metadata=metadata, timeout=20)

    async def record(self, *events: event_pb2.Event, atomic: bool = False) -> Any:
        return await self.call("RecordEvents", pb.RecordEventsRequest(events=events, atomic=atomic))

    async def stream(self, request: pb.StreamSegmentsRequest) -> list[Any]:
        stub = ingest_service_pb2_grpc.IngestServiceStub(self.channel)
        metadata = (("authorization", f"Bearer {self.token}"),)
        answers = stub.StreamSegments(request, metadata=metadata, timeout=20)
        return [answer.slice async for answer in answers]

    async def slices(self, partition: int, after: int = 0) -> list[Any]:
        """Return the partition's slices after a number."""
        return await self.stream(
            pb.StreamSegmentsRequest(shard=0, partition=partition, after_number=after)
        )

    async def refused(self, method: str, request: Message) -> Refusal:
        """Return how the call is refused; fail if it is not."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request)
        return refusal_of(caught.value)

    async def refused_stream(self, request: pb.StreamSegmentsRequest) -> Refusal:
        """Return how StreamSegments is refused; fail if it is not."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.stream(request)
        return refusal_of(caught.value)


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Read the details of a refused call."""
    info, bad = ErrorInfo(), BadRequest()
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = [violation.field for violation in bad.field_violations]
    return Refusal(error.code().name, info.reason, fields)


@dataclass(frozen=True, slots=True)
class Ingest:
    """The service under test."""

    channel: grpc.aio.Channel
    keys: Keys
    database: Database

    def client(self, tenant: int | None = 1) -> Client:
        scopes = SCOPES if tenant is not None else ("internal",)
        return Client(self.channel, self.keys.token(*scopes, tenant=tenant))


@pytest.fixture
async def ingest(
    database: Callable[[str], Database], nats_url: str, tmp_path: Path
) -> AsyncIterator[Ingest]:
    """A fresh ingest service on a database of its own."""
    keys, mine = Keys(tmp_path), database("ingest")
    address = f"127.0.0.1:{choose_port()}"
    env = {
        "INGEST_DATABASE_URL": mine.app_url,
        "INGEST_WORKER_DATABASE_URL": mine.worker_url,
        "INGEST_LISTEN_ADDRESS": address,
        "INGEST_TOKEN_KEYS_FILE": keys.file,
        "INGEST_INTERNAL_TOKEN_FILE": keys.internal_token_file(),
        "INGEST_DRAIN_SECONDS": "1",
        "NATS_URL": nats_url,
    }
    stopping = asyncio.Event()
    serving = asyncio.create_task(serve(Settings.from_env(env), stopping))
    async with grpc.aio.insecure_channel(address) as channel:
        ready = asyncio.create_task(channel.channel_ready())
        await asyncio.wait([ready, serving], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert ready.done(), "ingest does not answer"
        yield Ingest(channel, keys, mine)
    stopping.set()
    await serving


@pytest.fixture
def client(ingest: Ingest) -> Client:
    """A client of tenant 1."""
    return ingest.client()
