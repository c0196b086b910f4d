"""Commits that take a second each: answers come late, floods are refused, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import db
from tests.producing import read_stored
from tests.slow.faults.conftest import TENANT, Running
from tests.wait import until

LARGE = 8  # Of 6 MiB each: more than a tenant may have waiting, 32 MiB.
BUSY = ("RESOURCE_EXHAUSTED", "INGEST_BUSY")
BUSY_MIN, EVENTS_MIN = 20, 3_000
# However much comes: what waits is there as it was received, as messages and as it is sealed.
GROWTH_MIB_MAX = 700
SECONDS = 90
# The row without which nothing is committed, held as long as a slow disk would need.
SLOW = "SELECT pg_sleep(1) FROM shard FOR UPDATE"


async def test_producers_wait_or_are_refused_and_memory_stays_bounded(running: Running) -> None:
    memory, large = running.memory, running.large_memory
    before = running.resident_mib()
    async with slow_commits(running) as over, running.producing(large=LARGE):
        enough = len(memory.acknowledged) + EVENTS_MIN
        await until(lambda: large.refusals[BUSY] >= BUSY_MIN, seconds=SECONDS)
        await until(lambda: len(memory.acknowledged) >= enough, seconds=SECONDS)
        assert running.resident_mib() < before + GROWTH_MIB_MAX
        over.set()
        enough = len(memory.acknowledged) + EVENTS_MIN
        await until(lambda: len(memory.acknowledged) >= enough, seconds=SECONDS)
    assert set(memory.refusals) | set(large.refusals) == {BUSY}
    stored = await read_stored(running.database.worker_url, TENANT)
    for one in (memory, large):
        own = [(event_id, content) for event_id, content in stored if event_id in one.sent]
        assert one.compare(own) == []
        assert len(own) == len(one.acknowledged) == len(one.sent)
    assert len(stored) == len(memory.sent) + len(large.sent)


@asynccontextmanager
async def slow_commits(running: Running) -> AsyncIterator[asyncio.Event]:
    """Let each commit wait for a second, until the event that it gives is set."""
    engine = db.connect(running.database.worker_url, connections_max=1)
    over = asyncio.Event()

    async def slow_down(conn: AsyncConnection) -> None:
        while not over.is_set():
            async with conn.begin():
                await conn.exec_driver_sql(SLOW)

    async with engine.connect() as conn:
        slowing = asyncio.create_task(slow_down(conn))
        try:
            yield over
        finally:
            over.set()
            await slowing
    await engine.dispose()
