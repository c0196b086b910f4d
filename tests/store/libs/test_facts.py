"""Facts get to their consumer once and in order, whatever NATS does with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import grpc
import pytest
from nats.js import JetStreamContext
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import bus, inbox, outbox
from libs.auth import InternalToken
from libs.consumer import BATCH_MAX, FactConsumer, Handler
from libs.db import begin, begin_worker
from libs.errors import InvalidInput
from libs.facts import FactClient, FactServicer
from libs.inbox import Fact
from libs.peer import channel
from libs.relay import Relay
from libs.tenant import Tenant
from tally.common.v1.money_pb2 import Money
from tally.internal.v1 import fact_service_pb2_grpc
from tests.wait import until

TENANT = Tenant(1)
SUBJECT = Money.DESCRIPTOR.full_name  # Any message will do; "common" announces no facts.
SOURCE = "COMMON"


class Indigestible(InvalidInput):
    reason = "FIELD_INVALID"


@dataclass
class Effects:
    """What the facts did: the amounts, in the order in which they took effect."""

    amounts: list[int] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)

    async def add(self, conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        amounts = [Money.FromString(fact.payload).amount_minor for fact in facts]
        if min(amounts) < 0:
            raise Indigestible("below zero")
        self.amounts += amounts
        self.batches.append(amounts)


@pytest.fixture
async def stream(nats_url: str, worker: AsyncEngine) -> AsyncIterator[JetStreamContext]:
    """JetStream with a stream for the facts, and an outbox and inbox without any."""
    async with begin_worker(worker) as conn:
        await conn.execute(text("DELETE FROM outbox"))
        await conn.execute(text("DELETE FROM inbox_head"))
        await conn.execute(text("DELETE FROM dead_letter"))
    client = await bus.connect(nats_url)
    await bus.ensure_stream(client.jetstream(), SOURCE, ["tally.common.v1.*"])
    yield client.jetstream()
    await client.jetstream().delete_stream(SOURCE)
    await client.close()


@pytest.fixture
async def upstream(worker: AsyncEngine, tmp_path: object) -> AsyncIterator[FactClient]:
    """The FactService over the outbox, on a port of its own."""
    server = grpc.aio.server()
    servicer = FactServicer(worker)
    fact_service_pb2_grpc.add_FactServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    file = f"{tmp_path}/token"
    with open(file, "w", encoding="utf-8") as written:
        written.write("no one looks at it here")
    peer = channel(f"127.0.0.1:{port}", InternalToken(file))
    yield FactClient(peer, source=SOURCE)
    await peer.close()
    await server.stop(None)


@asynccontextmanager
async def consuming(
    nats_url: str, app: AsyncEngine, worker: AsyncEngine, upstream: FactClient, handler: Handler
) -> AsyncIterator[FactConsumer]:
    client = await bus.connect(nats_url)
    consumer = FactConsumer(
        client,
        app,
        worker,
        source=SOURCE,
        upstream=upstream,
        handlers={SUBJECT: handler},
        committed=lambda: None,
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(consumer.run(stopping))
    try:
        yield consumer
    finally:
        stopping.set()
        consumer.kick()
        await running
        await client.close()


@asynccontextmanager
async def relaying(worker: AsyncEngine, stream: JetStreamContext) -> AsyncIterator[Relay]:
    relay, stopping = Relay(worker, stream), asyncio.Event()
    running = asyncio.create_task(relay.run(stopping))
    try:
        yield relay
    finally:
        stopping.set()
        relay.kick()
        await running


async def announce(app: AsyncEngine, amounts: list[int]) -> None:
    for amount in amounts:
        async with begin(app, TENANT) as conn:
            await outbox.append(conn, TENANT, Money(amount_minor=amount))


async def test_facts_take_effect_once_and_in_order(
    nats_url: str,
    app: AsyncEngine,
    worker: AsyncEngine,
    stream: JetStreamContext,
    upstream: FactClient,
) -> None:
    effects = Effects()
    async with consuming(nats_url, app, worker, upstream, effects.add) as consumer:
        async with relaying(worker, stream) as relay:
            await announce(app, list(range(30)))
            relay.kick()
            await until(lambda: len(effects.amounts) == 30)
        async with begin_worker(worker) as conn:
            for row in await outbox.load_after(conn, 0, batch_max=30):  # All of them again.
                headers = {
                    "Nats-Msg-Id": str(uuid4()),
                    "tally-tenant": "1",
                    "tally-seq": str(row.seq),
                }
                await stream.publish(row.subject, row.payload, headers=headers)
        await announce(app, [30])
        async with relaying(worker, stream):
            await until(lambda: len(effects.amounts) > 30)
        assert await consumer.lag() == 0
    assert effects.amounts == list(range(31))


async def test_facts_that_wait_take_effect_at_once(
    nats_url: str,
    app: AsyncEngine,
    worker: AsyncEngine,
    stream: JetStreamContext,
    upstream: FactClient,
) -> None:
    effects = Effects()
    await announce(app, list(range(BATCH_MAX + 2)))
    async with begin_worker(worker) as conn:
        await outbox.number_waiting(conn, batch_max=BATCH_MAX + 2)
    async with consuming(nats_url, app, worker, upstream, effects.add) as consumer:
        await until(lambda: len(effects.amounts) == BATCH_MAX + 2)
        assert await consumer.lag() == 0
    assert effects.batches == [list(range(BATCH_MAX)), [BATCH_MAX, BATCH_MAX + 1]]


async def test_what_nats_lost_is_pulled_from_the_source(
    nats_url: str,
    app: AsyncEngine,
    worker: AsyncEngine,
    stream: JetStreamContext,
    upstream: FactClient,
) -> None:
    effects = Effects()
    async with consuming(nats_url, app, worker, upstream, effects.add):
        await announce(app, [1, 2, 3])
        async with begin_worker(worker) as conn:  # Numbered, and lost on the way.
            await outbox.number_waiting(conn, batch_max=10)
            await outbox.mark_published(conn, first=1, last=3)
        await until(lambda: effects.amounts == [1, 2, 3])


async def test_a_fact_too_large_for_nats_is_pulled_and_holds_up_no_other(
    nats_url: str,
    app: AsyncEngine,
    worker: AsyncEngine,
    stream: JetStreamContext,
    upstream: FactClient,
) -> None:
    effects = Effects()
    async with begin(app, TENANT) as conn:
        large = Money(amount_minor=1, currency_code="x" * (9 << 20))
        await outbox.append(conn, TENANT, large)
    await announce(app, [2])
    async with consuming(nats_url, app, worker, upstream, effects.add):
        async with relaying(worker, stream):
            await until(lambda: effects.amounts == [1, 2])
            await until_published(worker)


async def until_published(worker: AsyncEngine) -> None:
    async with asyncio.timeout(10):
        while True:
            async with begin_worker(worker) as conn:
                if (await outbox.load_head(conn)).waiting == 0:
                    return


async def test_a_fact_that_cannot_be_handled_is_kept_and_passed(
    nats_url: str,
    app: AsyncEngine,
    worker: AsyncEngine,
    stream: JetStreamContext,
    upstream: FactClient,
) -> None:
    effects = Effects()
    async with consuming(nats_url, app, worker, upstream, effects.add):
        async with relaying(worker, stream):
            await announce(app, [1, -1, 2])
            await until(lambda: effects.amounts == [1, 2])
    async with begin_worker(worker) as conn:
        [buried] = (await conn.execute(select(inbox.dead_letter))).all()
    assert effects.batches == [[1], [2]]
    assert (buried.seq, Money.FromString(buried.payload).amount_minor) == (2, -1)
    assert "below zero" in buried.error


async def test_two_consumers_share_the_work_without_doing_it_twice(
    nats_url: str,
    app: AsyncEngine,
    worker: AsyncEngine,
    stream: JetStreamContext,
    upstream: FactClient,
) -> None:
    effects = Effects()

    async with (
        consuming(nats_url, app, worker, upstream, effects.add),
        consuming(nats_url, app, worker, upstream, effects.add),
        relaying(worker, stream),
        relaying(worker, stream),
    ):
        await announce(app, list(range(40)))
        await until(lambda: len(effects.amounts) >= 40)
        async with begin_worker(worker) as conn:
            rows = await outbox.load_after(conn, 0, batch_max=100)
            head = await inbox.load_head(conn, SOURCE)
    assert effects.amounts == list(range(40))
    assert [row.seq for row in rows] == list(range(1, 41))
    assert head == 40
