"""A database of ingest, opened as the service opens it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db
from libs.clock import SystemClock
from services.ingest.domain.candidates import Submission
from services.ingest.domain.columns import decode
from services.ingest.domain.event import Event, LoggedEvent
from services.ingest.domain.retention import Ages
from services.ingest.operations.in_flight import InFlight
from services.ingest.operations.retention import Keeper
from services.ingest.operations.sealing import SHARD, Sealed, encode_slices, seal
from services.ingest.operations.settings import open_topology
from services.ingest.store import segments
from services.ingest.store.segments import Opened
from services.ingest.store.settings import Topology
from services.ingest.store.slice_content import unpack_content
from tests.servers import Database
from tests.unit.ingest.events import NOW, SECRET, read, submission

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StillClock(SystemClock):
    """A clock that stands where the tests' events lie, until it is moved."""

    def __init__(self) -> None:
        self.instant = EPOCH + timedelta(microseconds=NOW)

    def now(self) -> datetime:
        return self.instant


def trusting() -> InFlight:
    """Return a sealer's knowledge of keys that vouches for what it has not seen: all of them."""
    known = InFlight()
    while known.recent.in_doubt:
        known.recent.take(np.zeros(0, np.uint64))
    return known


@dataclass(frozen=True, slots=True)
class Log:
    """The log under test."""

    app: AsyncEngine
    worker: AsyncEngine
    clock: StillClock
    topology: Topology
    in_flight: InFlight = field(default_factory=InFlight)

    async def seal(self, *group: Submission) -> Sealed:
        return await seal(self.worker, self.clock, self.in_flight, group)

    async def append(self, conn: AsyncConnection, opened: Opened, *sent: Event) -> int:
        """Append a segment of these events; their keys are the caller's business."""
        return await segments.append_segment(
            conn,
            shard_id=SHARD,
            opened=opened,
            sealed_at=self.clock.now(),
            traceparent="",
            slices=encode_slices(read(submission(*sent)), np.arange(len(sent))),
        )

    def keeper(
        self, *, keys_days: int = 400, log_days: int = 0, export_folder: Path | None = None
    ) -> Keeper:
        """Return what prunes and drops; the keys of tests' events are hashed under their secret."""
        return Keeper(
            self.worker,
            self.clock,
            key_secret=SECRET,
            ages=Ages(keys_days, log_days),
            export_folder=export_folder,
            stopping=asyncio.Event(),
        )

    async def fetch(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of `query`, asked by the worker."""
        async with db.begin_worker(self.worker) as conn:
            return [tuple(row) for row in await conn.execute(text(query), parameters)]

    async def execute(self, statement: str, **parameters: Any) -> None:
        async with db.begin_worker(self.worker) as conn:
            await conn.execute(text(statement), parameters)

    async def events(self) -> list[LoggedEvent]:
        """Return every event of the log, segment after segment."""
        rows = await self.fetch("SELECT number, content FROM slice ORDER BY number, partition")
        numbered = [
            (number, logged)
            for number, content in rows
            for logged in decode(unpack_content(content))
        ]
        return [logged for _, logged in sorted(numbered, key=lambda one: (one[0], one[1].place))]

    async def ids(self) -> Sequence[str]:
        return [logged.event.id for logged in await self.events()]


@pytest.fixture
async def ingest_database(lent_database: Callable[[str], Database]) -> Database:
    """An empty database of ingest."""
    return lent_database("ingest")


@pytest.fixture
async def log(ingest_database: Database) -> AsyncIterator[Log]:
    """An empty log."""
    app = db.connect(ingest_database.app_url, connections_max=2)
    worker = db.connect(ingest_database.worker_url, connections_max=5)
    topology = await open_topology(worker, partitions=4)
    yield Log(app, worker, StillClock(), topology)
    await app.dispose()
    await worker.dispose()
