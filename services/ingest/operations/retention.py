"""Retention: old keys are pruned and old months of the log exported and dropped, bit by bit.

Each bound is committed before anything behind it is deleted: first the floor, below which no event
is taken any more, then keys, and whole months of the log last. Killed anywhere, the next process
goes on where the bounds stand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db
from libs.clock import Clock
from services.ingest.domain.retention import Ages, Month, find_identities_below, month_of
from services.ingest.operations import metrics
from services.ingest.operations.exporting import export_month
from services.ingest.operations.sealing import SHARD
from services.ingest.store import trimming
from services.ingest.store.slice_content import unpack_content
from services.ingest.store.trimming import Edge, SealedPart, Stretch

PRUNED_AT_ONCE = 16  # Segments of up to 10,000 keys.
DELETED_AT_ONCE = 64
STEP_SECONDS = 1.0  # Then others of the process's loops and a shutdown get their turn.


@dataclass(frozen=True, slots=True)
class Prune:
    """The keys of the next segments are due, as far as these were sealed before `before`."""

    after: int
    floor: datetime
    before: datetime

    def __str__(self) -> str:
        """Return it for people."""
        return "old keys are to be pruned"


@dataclass(frozen=True, slots=True)
class Drop:
    """A month is due, with `events` in the segments of `stretch`."""

    month: Month
    stretch: Stretch
    events: int
    floor: datetime

    def __str__(self) -> str:
        """Return it for people."""
        return f"the log of {self.month} is to be dropped"


@dataclass(frozen=True, slots=True)
class Delete:
    """What nobody reads any more lies there still."""

    def __str__(self) -> str:
        """Return it for people."""
        return "dropped segments are to be deleted"


Due = Prune | Drop | Delete


async def find_due(conn: AsyncConnection, ages: Ages, now: datetime) -> Due | None:
    """Return what is to be done next; None: nothing is."""
    edge = await trimming.load_edge(conn, SHARD)
    if edge.has_trimmed:
        return Delete()
    floor, before = ages.floor(now), ages.prunes_before(now)
    if before is not None and edge.unpruned_at is not None and edge.unpruned_at < before:
        assert floor is not None
        return Prune(max(edge.pruned_number, edge.trimmed_number), floor, before)
    if edge.oldest_at is not None and ages.drops(edge.oldest_at, now):
        return await _find_drop(conn, ages, now, edge)
    return None


async def _find_drop(conn: AsyncConnection, ages: Ages, now: datetime, edge: Edge) -> Drop | None:
    """Return the oldest month, unless something of it is too young, unpruned or unpublished."""
    floor = ages.floor(now)
    assert edge.oldest_at is not None and floor is not None
    month = month_of(edge.oldest_at)
    whole = Stretch(edge.trimmed_number, edge.number)
    through = await trimming.find_last_before(conn, SHARD, whole, month.end)
    is_pruned = through <= edge.pruned_number or not ages.keys_days
    if through <= edge.trimmed_number or through > edge.published_number or not is_pruned:
        return None
    stretch = Stretch(edge.trimmed_number, through)
    time_max, events = await trimming.find_time_max(conn, SHARD, stretch)
    # An event that was dated far ahead keeps its month until it is old itself.
    if time_max is None or time_max > now - timedelta(days=ages.log_days):
        return None
    return Drop(month, stretch, events, floor)


class Keeper:
    """Does what is due, in one process at a time. `worker` is the engine of that role."""

    def __init__(
        self,
        worker: AsyncEngine,
        clock: Clock,
        *,
        key_secret: bytes,
        ages: Ages,
        export_folder: Path | None,
        stopping: asyncio.Event,
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._key_secret = key_secret
        self._ages = ages
        self._export_folder = export_folder
        self._stopping = stopping

    async def step(self) -> bool:
        """Do what is due, for a second; True if there was anything. A `libs.worker.Loop`'s step.

        Raises:
            Unavailable: the database is away.
            NotExported: a month cannot be written; it stays.
        """
        if await self.find_due() is None:
            return False
        async with db.lead(self._worker, "log retention") as conn:
            if conn is None:
                return False
            until, worked = time.monotonic() + STEP_SECONDS, False
            while time.monotonic() < until and not self._stopping.is_set():
                if not await self._do_next(conn):
                    break
                worked = True
        return worked

    async def find_due(self) -> Due | None:
        """Return what is to be done next; None: nothing is."""
        async with db.begin_worker(self._worker) as conn:
            return await find_due(conn, self._ages, self._clock.now())

    async def _do_next(self, conn: AsyncConnection) -> bool:
        async with conn.begin():
            due = await find_due(conn, self._ages, self._clock.now())
        match due:
            case None:
                return False
            case Delete():
                await self._delete(conn)
            case Prune():
                await self._prune(conn, due)
            case Drop():
                return await self._drop(conn, due)
        return True

    async def _prune(self, conn: AsyncConnection, due: Prune) -> None:
        async with conn.begin():
            await trimming.raise_floor(conn, SHARD, due.floor)
        async with conn.begin():
            next_ones = Stretch(due.after, due.after + PRUNED_AT_ONCE)
            through = await trimming.find_last_before(conn, SHARD, next_ones, due.before)
            # Where the log ends sooner, it ends before `through` as well.
            edge = await trimming.load_edge(conn, SHARD)
            stretch = Stretch(due.after, min(through, edge.number))
            parts = await trimming.find_sealed_parts(
                conn, SHARD, stretch, segments_max=PRUNED_AT_ONCE
            )
            identities = await asyncio.to_thread(self._find_old, parts, due.floor)
            pruned = await trimming.prune(conn, SHARD, identities, stretch.through)
        metrics.PRUNED_KEYS.inc(pruned)

    def _find_old(self, parts: Sequence[SealedPart], floor: datetime) -> list[tuple[int, bytes]]:
        return sorted(
            identity
            for part in parts
            for identity in find_identities_below(
                unpack_content(part.content), floor, self._key_secret
            )
        )

    async def _drop(self, conn: AsyncConnection, due: Drop) -> bool:
        """Export a month, if that is wanted, and let nobody read it; False if we are stopping."""
        async with conn.begin():
            await trimming.raise_floor(conn, SHARD, due.floor)
        if self._export_folder is not None:
            whole = await export_month(
                conn,
                self._export_folder,
                due.month,
                due.stretch,
                events=due.events,
                stopping=self._stopping,
            )
            if not whole:
                return False
        async with conn.begin():
            await trimming.trim(conn, SHARD, due.stretch)
        return True

    async def _delete(self, conn: AsyncConnection) -> None:
        async with conn.begin():
            segments, events = await trimming.delete_trimmed(
                conn, SHARD, segments_max=DELETED_AT_ONCE
            )
        metrics.DROPPED_SEGMENTS.inc(segments)
        metrics.DROPPED_EVENTS.inc(events)
