"""Producers that send the same events in all forms at once, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import grpc
from sqlalchemy import text

from cli.client import refusal
from libs import db
from libs.wire import timestamp
from services.ingest.domain.columns import decode
from services.ingest.domain.event import LoggedEvent
from services.ingest.domain.number import Number
from services.ingest.store.slice_content import unpack_content
from tally.ingest.v1 import bulk_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tally.ingest.v1.event_pb2 import Event, PropertyValue, Verdict
from tests.chaos.calling import pause
from tests.columns import columns_of

EVENT_TYPE = "mixed"
CUSTOMERS, USERS = 5, 40
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2026, 1, 5, tzinfo=UTC)
REPEATED, CONFLICTING = 0.1, 0.01  # Of the events: sent before, and sent before otherwise.
STREAM_BATCHES = 4  # Of one stream.
CALL_SECONDS = 60.0
PATIENCE_SECONDS = 120.0
PAUSE_SECONDS, BUSY_SECONDS = 0.1, 0.5
CUT_OFF = "Internal error from Core"  # What gRPC says of a stream that ended while it was written.
STORED = {Verdict.VERDICT_ACCEPTED, Verdict.VERDICT_DUPLICATE}
AGAIN = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"}


class Form(Enum):
    """In which form a producer sends."""

    ROWS = "rows"
    COLUMNS = "columns"
    STREAM = "stream"


class Content(NamedTuple):
    """What an event says, beside its id."""

    customer_id: str
    time: datetime
    value: Decimal
    user: str


Batch = Sequence[tuple[str, Content]]


@dataclass(slots=True)
class Memory:
    """What all producers of a tenant have sent, and what they were told of it."""

    sent: dict[str, set[Content]] = field(default_factory=dict)
    acknowledged: dict[str, Content] = field(default_factory=dict)
    conflicting: dict[str, set[Content]] = field(default_factory=dict)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)  # Code and reason.
    faults: list[str] = field(default_factory=list)

    def settle(self, batch: Batch, exceptions: Mapping[int, int]) -> None:
        """Take note of an answer: of each event that is not stored, by index, the verdict."""
        for index, (event_id, content) in enumerate(batch):
            verdict = exceptions.get(index)
            if verdict is None:
                first = self.acknowledged.setdefault(event_id, content)
                if first != content:
                    self.faults.append(f"{event_id} was acknowledged as {first} and {content}")
            elif verdict == Verdict.VERDICT_CONFLICT:
                self.conflicting.setdefault(event_id, set()).add(content)
            else:
                self.faults.append(f"{event_id}: {Verdict.Name(Verdict.ValueType(verdict))}")

    def compare(self, stored: Iterable[tuple[str, Content]]) -> list[str]:
        """Return in what the events that are stored differ from what was sent and answered."""
        found, counts, faults = dict(stored), Counter(one for one, _ in stored), [*self.faults]
        faults += [f"{one} is stored {count} times" for one, count in counts.items() if count > 1]
        faults += [f"{one} is lost" for one in self.acknowledged.keys() - found.keys()]
        for event_id, content in found.items():
            if content not in self.sent.get(event_id, ()):
                faults.append(f"{event_id} is stored as {content}, which was not sent")
            elif content != self.acknowledged.get(event_id, content):
                faults.append(f"{event_id} is stored as {content}, acknowledged otherwise")
            elif content in self.conflicting.get(event_id, ()):
                faults.append(f"{event_id} is stored, and was called a conflict")
        return faults


@dataclass(slots=True)
class Producer:
    """Sends batches in one form, each until it is answered.

    Several share a memory, and send each other's events again, and sometimes with other content.
    """

    memory: Memory
    stub: Any
    form: Form
    rng: random.Random
    metadata: tuple[tuple[str, str], ...] = ()
    size: int = 200
    padding: int = 0  # Properties of a KiB in each event, beside its own.
    start: datetime = START  # Of the day to which events belong.

    async def run(self, going_on: Callable[[], bool]) -> None:
        """Send as long as `going_on`."""
        while going_on():
            await self.send([self.draw() for _ in range(STREAM_BATCHES)])

    def draw(self) -> Batch:
        """Return a batch; most of its events are new."""
        known = list(self.memory.sent)[-2_000:]
        batch = []
        for _ in range(self.size):
            event_id, content = f"{self.rng.getrandbits(96):024x}", self._draw_content()
            chance = self.rng.random()
            if known and chance < REPEATED:
                event_id = self.rng.choice(known)
                if chance >= CONFLICTING:
                    content = self.rng.choice(sorted(self.memory.sent[event_id]))
            self.memory.sent.setdefault(event_id, set()).add(content)
            batch.append((event_id, content))
        return batch

    def _draw_content(self) -> Content:
        return Content(
            customer_id=f"customer-{self.rng.randrange(CUSTOMERS)}",
            time=self.start + timedelta(seconds=self.rng.randrange(86_400)),
            value=Decimal(self.rng.randrange(1, 10_000)) / 100,
            user=f"user-{self.rng.randrange(USERS)}",
        )

    async def send(self, batches: Sequence[Batch]) -> None:
        """Send batches, each again and again until it is answered."""
        left = list(batches)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left:
            try:
                match self.form:
                    case Form.ROWS:
                        await self._send_rows(left)
                    case Form.COLUMNS:
                        await self._send_columns(left)
                    case Form.STREAM:
                        await self._send_stream(left)
            except grpc.aio.AioRpcError as error:
                found = refusal(error)
                code = "UNAVAILABLE" if found.message == CUT_OFF else found.code
                self.memory.refusals[code, found.reason] += 1
                if code not in AGAIN or time.monotonic() > deadline:
                    raise
                await pause(BUSY_SECONDS if code == "RESOURCE_EXHAUSTED" else PAUSE_SECONDS)

    async def _send_rows(self, left: list[Batch]) -> None:
        while left:
            request = pb.RecordEventsRequest(events=events_of(left[0], self.padding))
            answer = await self.stub.RecordEvents(
                request, metadata=self.metadata, timeout=CALL_SECONDS
            )
            told = enumerate(one.verdict for one in answer.verdicts)
            self.memory.settle(left.pop(0), {at: one for at, one in told if one not in STORED})

    async def _send_columns(self, left: list[Batch]) -> None:
        while left:
            request = bulk_pb2.RecordColumnsRequest(columns=columns_of(events_of(left[0])))
            answer = await self.stub.RecordColumns(
                request, metadata=self.metadata, timeout=CALL_SECONDS
            )
            self.memory.settle(left.pop(0), {one.index: one.verdict for one in answer.exceptions})

    async def _send_stream(self, left: list[Batch]) -> None:
        """Send all as one stream, every other batch as columns; drop what is acknowledged."""
        call = self.stub.StreamEvents(metadata=self.metadata, timeout=CALL_SECONDS)
        writing = asyncio.create_task(_write(call, left))
        told: dict[int, dict[int, int]] = {}
        through = 0
        async for answer in call:
            for one in answer.exceptions:
                of_batch = told.setdefault(one.batch_number, {})
                of_batch |= {event.index: event.verdict for event in one.exceptions}
            while through < answer.acked_through:
                through += 1
                self.memory.settle(left.pop(0), told.get(through, {}))
        await writing


async def _write(call: Any, batches: Sequence[Batch]) -> None:
    """Write a stream to its end; why it broke off is told to who reads."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        for request in _requests(batches):
            await call.write(request)
        await call.done_writing()


def _requests(batches: Sequence[Batch]) -> list[bulk_pb2.StreamEventsRequest]:
    requests = []
    for number, batch in enumerate(batches, start=1):
        request, events = bulk_pb2.StreamEventsRequest(batch_number=number), events_of(batch)
        if number % 2:
            request.columns.CopyFrom(columns_of(events))
        else:
            request.events.events.extend(events)
        requests.append(request)
    return requests


def events_of(batch: Batch, padding: int = 0) -> list[Event]:
    """Write events; `padding` is the same in all."""
    padded = {f"padding-{number}": PropertyValue(text="x" * 1_024) for number in range(padding)}
    return [
        Event(
            id=event_id,
            type=EVENT_TYPE,
            time=timestamp(content.time),
            customer_id=content.customer_id,
            properties={
                "value": PropertyValue(decimal=str(content.value)),
                "user": PropertyValue(text=content.user),
                **padded,
            },
        )
        for event_id, content in batch
    ]


async def read_stored(worker_url: str, tenant: int) -> list[tuple[str, Content]]:
    """Return the events of the tenant in a log, as often as they are there."""
    engine = db.connect(worker_url, connections_max=1)
    try:
        async with db.begin_worker(engine) as conn:
            slices = (await conn.execute(text("SELECT content FROM slice"))).scalars().all()
    finally:
        await engine.dispose()
    return [
        (one.event.id, _content_of(one))
        for packed in slices
        for one in decode(unpack_content(packed))
        if one.tenant == tenant
    ]


def _content_of(logged: LoggedEvent) -> Content:
    event, value = logged.event, logged.event.properties["value"]
    assert isinstance(value, Number)
    return Content(
        customer_id=event.customer_id,
        time=EPOCH + timedelta(microseconds=logged.time),
        value=Decimal(value.canonical()),
        user=str(event.properties["user"]),
    )
