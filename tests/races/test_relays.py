"""Two relays on one outbox: each fact gets one number, without gaps, and is published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from nats.js import JetStreamContext
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import bus, outbox
from libs.db import begin, begin_worker, connect
from libs.relay import Relay
from libs.tenant import Tenant
from tally.common.v1.money_pb2 import Money
from tests.servers import Database
from tests.wait import until

STREAM = "RACES"
SUBJECT = Money.DESCRIPTOR.full_name  # Any message will do: no service announces this one.
WRITERS, TURNS = 6, 40
FACTS = WRITERS * TURNS
TENANT = Tenant(1)
KILL_LEADER = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
    " WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
def wallet(lent_database: Callable[[str], Database]) -> Database:
    """A database with an outbox; any service has one."""
    return lent_database("wallet")


@pytest.fixture
async def app(wallet: Database) -> AsyncIterator[AsyncEngine]:
    engine = connect(wallet.app_url, connections_max=WRITERS)
    yield engine
    await engine.dispose()


@pytest.fixture
async def worker(wallet: Database) -> AsyncIterator[AsyncEngine]:
    engine = connect(wallet.worker_url, connections_max=3)
    yield engine
    await engine.dispose()


@pytest.fixture
async def stream(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """JetStream with an empty stream for the facts."""
    client = await bus.connect(nats_url)
    await bus.ensure_stream(client.jetstream(), STREAM, [SUBJECT])
    yield client.jetstream()
    await client.jetstream().delete_stream(STREAM)
    await client.close()


async def test_two_relays_number_each_fact_once_and_lose_none(
    app: AsyncEngine, worker: AsyncEngine, wallet: Database, stream: JetStreamContext
) -> None:
    """Half way through, the one that leads loses its connection, and the other takes over."""
    async with relaying(wallet, stream, "one") as one, relaying(wallet, stream, "other") as other:
        await write(app, [one, other], turns=TURNS // 2)
        await until(lambda: kill_leader(worker), seconds=60, describe="one of them to lead")
        await write(app, [one, other], turns=TURNS // 2)
        await until(lambda: is_published(worker, FACTS), seconds=60)
    await check_numbers(worker, stream, FACTS)


async def test_what_one_relay_is_numbering_another_does_not_number_too(
    app: AsyncEngine, worker: AsyncEngine, wallet: Database, stream: JetStreamContext
) -> None:
    """The second comes while the first waits for a row, and could see a fact more than it did."""
    async with AsyncExitStack() as relays:
        async with begin_worker(worker) as of_one, begin_worker(worker) as of_other:
            async with begin(app, TENANT) as late:
                await outbox.append(late, TENANT, Money(amount_minor=0))
                await announce(app, [1, 2, 3])
                await lock_waiting(of_one)
                await relays.enter_async_context(relaying(wallet, stream, "one"))
                await until(lambda: waits_for_a_lock(worker, "one"), seconds=60)
            await lock_waiting(of_other)
            await relays.enter_async_context(relaying(wallet, stream, "other"))
            await until(lambda: waits_or_rests(worker, "other"), seconds=60)
            await of_one.rollback()
            await until(lambda: is_published(worker, 3), seconds=60)
        await until(lambda: is_published(worker, 4), seconds=60)
    await check_numbers(worker, stream, 4)


@asynccontextmanager
async def relaying(database: Database, stream: JetStreamContext, name: str) -> AsyncIterator[Relay]:
    """Run a relay as another process of the service would, with connections of its own."""
    engine = connect(database.worker_url, connections_max=2, application_name=name)
    relay, stopping = Relay(engine, stream), asyncio.Event()
    running = asyncio.create_task(relay.run(stopping))
    try:
        yield relay
    finally:
        stopping.set()
        relay.kick()
        await running
        await engine.dispose()


async def announce(app: AsyncEngine, amounts: Iterable[int]) -> None:
    for amount in amounts:
        async with begin(app, TENANT) as conn:
            await outbox.append(conn, TENANT, Money(amount_minor=amount))


async def write(app: AsyncEngine, relays: Sequence[Relay], *, turns: int) -> None:
    """Announce facts side by side: they are committed in another order than written."""
    async with begin(app, TENANT) as conn:
        first = (await conn.execute(text("SELECT count(*) FROM outbox"))).scalar_one()

    async def turn_by_turn(writer: int) -> None:
        for turn in range(turns):
            await announce(app, [first + turn * WRITERS + writer])
            for relay in relays:
                relay.kick()

    await asyncio.gather(*(turn_by_turn(writer) for writer in range(WRITERS)))


async def lock_waiting(conn: AsyncConnection) -> None:
    """Keep facts without a number from getting one, those that are locked already apart."""
    await conn.execute(select(outbox.outbox).with_for_update(skip_locked=True))


async def waits_for_a_lock(worker: AsyncEngine, name: str) -> bool:
    return await has_session(worker, name, "wait_event_type = 'Lock'")


async def waits_or_rests(worker: AsyncEngine, name: str) -> bool:
    """Tell whether the relay `name` waits to number, or has done nothing for a while."""
    rests = "state = 'idle' AND now() - state_change > interval '500 ms'"
    return await has_session(worker, name, f"wait_event_type = 'Lock' OR ({rests})")


async def has_session(worker: AsyncEngine, name: str, condition: str) -> bool:
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        f" AND application_name = :name AND ({condition})"
    )
    async with begin_worker(worker) as conn:
        return bool((await conn.execute(query, {"name": name})).scalar_one())


async def kill_leader(worker: AsyncEngine) -> bool:
    """End the session that leads; tell whether there was one."""
    async with begin_worker(worker) as conn:
        return bool((await conn.execute(KILL_LEADER)).scalar_one())


async def is_published(worker: AsyncEngine, count: int) -> bool:
    """Tell whether the facts up to the number `count` are out."""
    async with begin_worker(worker) as conn:
        rows = await outbox.load_after(conn, 0, batch_max=2 * FACTS)
    return len(rows) >= count and all(row.published_at for row in rows[:count])


async def check_numbers(worker: AsyncEngine, stream: JetStreamContext, count: int) -> None:
    """Check that the facts 0 to `count` have numbers without gaps, and went out under them."""
    async with begin_worker(worker) as conn:
        rows = await outbox.load_after(conn, 0, batch_max=2 * count)
    assert [row.seq for row in rows] == list(range(1, count + 1))
    assert {Money.FromString(row.payload).amount_minor for row in rows} == set(range(count))
    subscription = await stream.subscribe(SUBJECT, ordered_consumer=True)
    messages = (await stream.stream_info(STREAM)).state.messages
    found = [(await subscription.next_msg(timeout=10)).headers or {} for _ in range(messages)]
    await subscription.unsubscribe()
    published = sorted((int(one["tally-seq"]), one["Nats-Msg-Id"]) for one in found)
    assert published == [(row.seq, str(row.event_id)) for row in rows]
