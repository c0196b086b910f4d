"""Sealing a group of requests: one transaction, after which every verdict is durable.

Lock order: the sealers' advisory lock, shared; keys ascending; rejected events ascending; and last
the shard's counter row, so that sealers run side by side up to the two inserts at the end.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db, telemetry
from libs.clock import Clock
from libs.tenant import Tenant
from services.ingest.domain import columns
from services.ingest.domain.candidate import Submission
from services.ingest.domain.event import LoggedEvent
from services.ingest.domain.verdicts import Accepted, Decision, Identity, decide
from services.ingest.operations import metrics
from services.ingest.store import keys, rejected, segments
from services.ingest.store.segments import SliceContent
from services.ingest.store.slice_content import pack_content

SHARD = 0  # One shard; the count is stored and checked at start.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROUNDS_MAX = 5  # Then the group is sealed alone.
THREAD_EVENTS_MIN = 200  # Fewer are encoded faster than a thread is reached.


@dataclass(frozen=True, slots=True)
class Sealed:
    """What became of a group. `number` is its segment's, 0 if nothing was accepted."""

    decision: Decision
    number: int


async def seal(engine: AsyncEngine, clock: Clock, group: Sequence[Submission]) -> Sealed:
    """Store what is new in `group` and judge every event of it. `engine` is the worker's.

    Raises:
        Unavailable: the database is away. Whether it committed is not known: a repeat finds out.
    """
    try:
        return await _seal(engine, clock, group, alone=False)
    except _Contended:
        return await _seal(engine, clock, group, alone=True)


class _Contended(Exception):
    """Other sealers stored events of this group first, time and again."""


async def _seal(
    engine: AsyncEngine, clock: Clock, group: Sequence[Submission], *, alone: bool
) -> Sealed:
    async with db.begin_worker(engine) as conn:
        opened_id = await segments.open_segment(conn, SHARD, alone=alone)
        return await _seal_opened(conn, clock, group, opened_id)


async def _seal_opened(
    conn: AsyncConnection, clock: Clock, group: Sequence[Submission], opened_id: int
) -> Sealed:
    decision = await _store_keys(conn, group, opened_id)
    if decision.refused:
        await rejected.keep_refused(conn, decision.refused)
    if not decision.accepted:
        return Sealed(decision, 0)
    if len(decision.accepted) < THREAD_EVENTS_MIN:
        slices = encode(decision.accepted)
    else:
        slices = await asyncio.to_thread(encode, decision.accepted)
    number = await segments.take_number(conn, SHARD)
    await segments.insert_segment(
        conn,
        shard_id=SHARD,
        number=number,
        opened_id=opened_id,
        sealed_at=clock.now(),
        traceparent=telemetry.headers().get("traceparent", ""),
        slices=slices,
    )
    return Sealed(decision, number)


async def _store_keys(
    conn: AsyncConnection, group: Sequence[Submission], opened_id: int
) -> Decision:
    """Probe, decide and insert keys, again whenever another sealer stored one in between."""
    identities = _identities(group)
    for _ in range(ROUNDS_MAX):
        stored = await keys.find_stored(conn, SHARD, identities) if identities else {}
        decision = decide(group, stored)
        if not decision.accepted or await keys.insert_keys(conn, decision.accepted, opened_id):
            return decision
        metrics.KEY_RACES.inc()
    raise _Contended


def _identities(group: Sequence[Submission]) -> list[Identity]:
    """Return the identities in `group`, each once and sorted: the index is read in order."""
    return sorted(
        {
            (submission.tenant, candidate.key)
            for submission in group
            for candidate in submission.candidates
            if candidate.fault is None
        }
    )


def encode(accepted: Sequence[Accepted]) -> list[SliceContent]:
    """Return the slices of a segment of `accepted`, by partition. Runs in a thread."""
    parts: defaultdict[int, list[LoggedEvent]] = defaultdict(list)
    for index, one in enumerate(accepted):
        candidate = one.candidate
        logged = LoggedEvent(one.tenant, index, candidate.event, candidate.received)
        parts[candidate.partition].append(logged)
    return [_slice_of(partition, parts[partition]) for partition in sorted(parts)]


def _slice_of(partition: int, logged: Sequence[LoggedEvent]) -> SliceContent:
    times = [entry.time for entry in logged]
    tenants: set[Tenant] = {entry.tenant for entry in logged}
    return SliceContent(
        partition=partition,
        event_count=len(logged),
        time_min=EPOCH + timedelta(microseconds=min(times)),
        time_max=EPOCH + timedelta(microseconds=max(times)),
        tenants=sorted(tenants),
        content=pack_content(columns.encode(logged)),
    )
