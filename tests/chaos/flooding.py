"""A tenant that sends in all forms at full speed, beside the others of a round."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import grpc

from cli.client import SuiteClient
from tally.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.chaos.expected import WEEK
from tests.mixed import expected, sell_mixed, usage_of
from tests.producing import Form, Memory, Producer
from tests.suite import Suite

TURNS_MAX = 4  # Of 800 events of each producer: the round waits until they are usage.


@dataclass(slots=True)
class Flood:
    """Producers of rows, columns and streams, who send each other's events again."""

    client: SuiteClient
    stub: IngestServiceStub
    metadata: tuple[tuple[str, str], ...]
    start: datetime
    rng: random.Random
    memory: Memory = field(default_factory=Memory)

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until `stopping`, and until all that was sent is answered."""
        async with asyncio.TaskGroup() as tasks:
            for form in Form:
                tasks.create_task(self._produce(form, stopping))

    async def _produce(self, form: Form, stopping: asyncio.Event) -> None:
        rng, left = random.Random(self.rng.random()), iter(range(TURNS_MAX))
        producer = Producer(self.memory, self.stub, form, rng, self.metadata, start=self.start)
        await producer.run(lambda: not stopping.is_set() and next(left, None) is not None)

    async def compare(self) -> list[str]:
        """Return in what usage differs from what was acknowledged; all of it was."""
        memory = self.memory
        faults = [f"flood: {one}" for one in memory.faults]
        lost = memory.sent.keys() - memory.acknowledged.keys()
        faults += [f"flood: {one} was never acknowledged" for one in lost]
        contents = list(memory.acknowledged.values())
        for customer in sorted({one.customer_id for one in contents}):
            wanted = expected(one for one in contents if one.customer_id == customer)
            found = await usage_of(self.client, customer, at=self.start)
            if found != wanted:
                faults.append(f"flood: usage of {customer} is {found}, sent was {wanted}")
        return faults


@asynccontextmanager
async def open_flood(suite: Suite, start: datetime, rng: random.Random) -> AsyncIterator[Flood]:
    """Prepare a flood of a tenant of its own; its subscriptions begin at `start`."""
    tenant = suite.new_tenant()
    metadata = (("authorization", f"Bearer {suite.token(tenant)}"),)
    channel = grpc.aio.insecure_channel(suite.stack.address("ingest"))
    async with suite.client(tenant) as client, channel:
        await sell_mixed(client, start)
        day = start + WEEK - timedelta(days=1)  # That of the load: one day is of one month.
        yield Flood(client, IngestServiceStub(channel), metadata, day, rng)
