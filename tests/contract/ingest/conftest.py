"""The running ingest service, by itself, and a client of it."""

from __future__ import annotations

import itertools
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from deploy.embedded.ports import HOST, choose_port
from deploy.embedded.service import Service
from tally.ingest.v1 import event_pb2, ingest_service_pb2_grpc
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.nursery import Nursery
from tests.servers import Database
from tests.unit.libs.keys import Keys

START_SECONDS = 60
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
    traceparent: str = ""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        trace = (("traceparent", self.traceparent),) if self.traceparent else ()
        return (("authorization", f"Bearer {self.token}"), *trace)

    async def call(self, method: str, request: Message) -> Any:
        stub = ingest_service_pb2_grpc.IngestServiceStub(self.channel)
        return await getattr(stub, method)(request, metadata=self.metadata, timeout=20)

    async def record(self, *events: event_pb2.Event, atomic: bool = False) -> Any:
        return await self.call("RecordEvents", pb.RecordEventsRequest(events=events, atomic=atomic))

    async def stream(self, request: pb.StreamSegmentsRequest) -> list[Any]:
        stub = ingest_service_pb2_grpc.IngestServiceStub(self.channel)
        answers = stub.StreamSegments(request, metadata=self.metadata, timeout=20)
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
    """The service under test, by which each test has tenants of its own."""

    service: Service
    keys: Keys
    tenants: itertools.count[int]

    def new_tenant(self) -> int:
        return next(self.tenants)

    def metric(self, name: str) -> float:
        """Return what the service shows of itself."""
        url = f"http://{self.service.metrics_address}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        [value] = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
        return float(value)

    def token(self, tenant: int | None) -> str:
        scopes = SCOPES if tenant is not None else ("internal",)
        return self.keys.token(*scopes, tenant=tenant)

    @asynccontextmanager
    async def client(self, tenant: int | None) -> AsyncIterator[Client]:
        async with grpc.aio.insecure_channel(self.service.address) as channel:
            yield Client(channel, self.token(tenant))


@pytest.fixture(scope="module")
def ingest(
    database: Callable[[str], Database],
    nats_url: str,
    nursery: Nursery,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ingest]:
    """An ingest service on a database of its own."""
    folder = tmp_path_factory.mktemp("ingest")
    keys, mine = Keys(folder), database("ingest")
    address, metrics_address = (f"{HOST}:{choose_port()}" for _ in range(2))
    environment = {
        "INGEST_DATABASE_URL": mine.app_url,
        "INGEST_WORKER_DATABASE_URL": mine.worker_url,
        "INGEST_LISTEN_ADDRESS": address,
        "INGEST_METRICS_ADDRESS": metrics_address,
        "INGEST_TOKEN_KEYS_FILE": keys.file,
        "INGEST_INTERNAL_TOKEN_FILE": keys.internal_token_file(),
        "INGEST_TRACES_FILE": str(folder / "traces"),
        "NATS_URL": nats_url,
    }
    service = Service(
        "ingest",
        address,
        metrics_address,
        folder,
        folder / "log",
        environment,
        start_process=nursery.start,
    )
    service.start()
    service.await_serving(time.monotonic() + START_SECONDS)
    yield Ingest(service, keys, itertools.count(1))
    service.stop()


@pytest.fixture
async def client(ingest: Ingest) -> AsyncIterator[Client]:
    """A client of a new tenant."""
    async with ingest.client(ingest.new_tenant()) as one:
        yield one


@pytest.fixture
async def other_client(ingest: Ingest) -> AsyncIterator[Client]:
    """A client of another new tenant."""
    async with ingest.client(ingest.new_tenant()) as one:
        yield one


@pytest.fixture
async def internal(ingest: Ingest) -> AsyncIterator[Client]:
    """A client that speaks as a service of the suite."""
    async with ingest.client(None) as one:
        yield one
