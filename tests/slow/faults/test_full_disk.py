"""Disks without space: what was acknowledged stays, the rest is said clearly and goes on later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs import db
from tests.producing import read_stored
from tests.slow.faults.conftest import TENANT, Running
from tests.slow.faults.disks import Disk, small_disk
from tests.wait import until

DISK_MIB = 4_096  # In memory: only what is written takes space. The stream may take a GiB.
BATCHES_MIN = 10  # As many are sent before and after.
EVENTS_MIN = BATCHES_MIN * 200
REFUSED_MIN = 20
GROWTH_MIB_MAX = 96
SECONDS = 60
FULL = ("RESOURCE_EXHAUSTED", "STORAGE_FULL")


@pytest.fixture
def disk() -> Iterator[Disk]:
    with small_disk(DISK_MIB) as disk:
        yield disk


class TestDataDisk:
    """The disk of PostgreSQL's data is full, that of its WAL is not."""

    @pytest.fixture
    def data_folder(self, disk: Disk) -> Path:
        return disk.folder / "postgres"

    @pytest.fixture
    def wal_folder(self, tmp_path: Path) -> Path:
        return tmp_path

    async def test_producers_are_told_and_all_goes_on_by_itself(
        self, running: Running, disk: Disk
    ) -> None:
        memory, process = running.memory, running.service.process
        async with running.producing():
            await recorded(running, EVENTS_MIN)
            before = running.resident_mib()
            disk.fill()
            await until(lambda: memory.refusals[FULL] >= REFUSED_MIN, seconds=SECONDS)
            assert running.resident_mib() < before + GROWTH_MIB_MAX
            disk.empty()
            await recorded(running, EVENTS_MIN)
        assert running.service.process is process and process is not None and process.alive
        assert running.postgres.alive
        assert set(memory.refusals) == {FULL}
        await compare(running)


class TestWalDisk:
    """The disk of the WAL is full: PostgreSQL itself stops, and its operator starts it again."""

    @pytest.fixture
    def wal_folder(self, disk: Disk) -> Path:
        return disk.folder

    async def test_nothing_acknowledged_is_lost_and_ingest_goes_on(
        self, running: Running, disk: Disk
    ) -> None:
        memory, process = running.memory, running.service.process
        async with running.producing():
            await recorded(running, EVENTS_MIN)
            before = running.resident_mib()
            disk.fill()
            await until(lambda: memory.refusals.total() >= REFUSED_MIN, seconds=SECONDS)
            assert running.resident_mib() < before + GROWTH_MIB_MAX
            disk.empty()
            await asyncio.to_thread(running.postgres.stop)
            await asyncio.to_thread(running.postgres.start)
            await recorded(running, EVENTS_MIN)
        assert running.service.process is process and process is not None and process.alive
        assert {code for code, _ in memory.refusals} <= {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}
        await compare(running)


class TestNatsDisk:
    """JetStream has no space: it is the fast path, and never the proof."""

    @pytest.fixture
    def nats_folder(self, disk: Disk) -> Path:
        return disk.folder / "nats"

    async def test_events_are_acknowledged_meanwhile_and_published_later(
        self, running: Running, disk: Disk
    ) -> None:
        async with running.producing():
            await recorded(running, EVENTS_MIN)
            assert (await progress(running))[1]
            disk.fill()
            await until(lambda: waits_for_nats(running), seconds=SECONDS)
            await recorded(running, EVENTS_MIN)
        assert running.memory.refusals == Counter()
        disk.empty()
        await asyncio.to_thread(
            running.nats.stop
        )  # When it is full it gives up its store for good.
        await asyncio.to_thread(running.nats.start)
        await until(lambda: all_published(running), seconds=SECONDS)
        await compare(running)


async def recorded(running: Running, events: int) -> None:
    """Wait until so many more events are acknowledged."""
    enough = len(running.memory.acknowledged) + events
    await until(lambda: len(running.memory.acknowledged) >= enough, seconds=2 * SECONDS)


async def compare(running: Running) -> None:
    stored = await read_stored(running.database.worker_url, TENANT)
    assert running.memory.compare(stored) == []
    assert len(stored) == len(running.memory.acknowledged) == len(running.memory.sent)


async def waits_for_nats(running: Running) -> bool:
    sealed, published = await progress(running)
    return sealed >= published + REFUSED_MIN


async def all_published(running: Running) -> bool:
    sealed, published = await progress(running)
    return sealed == published


async def progress(running: Running) -> tuple[int, int]:
    """Return how many segments are sealed, and how many of them are published."""
    engine = db.connect(running.database.worker_url, connections_max=1)
    try:
        async with db.begin_worker(engine) as conn:
            query = "SELECT s.number, p.number FROM shard s JOIN relay_position p USING (shard)"
            row = (await conn.exec_driver_sql(query)).one()
            return row[0], row[1]
    finally:
        await engine.dispose()
