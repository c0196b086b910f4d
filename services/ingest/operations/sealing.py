"""Sealing a group of requests: one transaction, after which every verdict is durable.

Lock order: the sealers' advisory lock, shared; keys ascending; rejected events ascending; and last
the shard's counter row, so that sealers run side by side up to the two inserts at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db, telemetry
from libs.clock import Clock
from services.ingest.domain.candidates import Candidates, Submission, read_candidates
from services.ingest.domain.encoding import encode
from services.ingest.domain.verdicts import (
    Decision,
    Identities,
    decide,
    find_differing,
    find_identities,
)
from services.ingest.domain.wire import Ints
from services.ingest.operations import metrics
from services.ingest.store import keys, rejected, segments, versions
from services.ingest.store.segments import SliceContent
from services.ingest.store.slice_content import pack_content

P = ParamSpec("P")
T = TypeVar("T")

SHARD = 0  # One shard; the count is stored and checked at start.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROUNDS_MAX = 5  # Then the group is sealed alone.
THREAD_EVENTS_MIN = 200  # Fewer are done faster than a thread is reached.


@dataclass(frozen=True, slots=True)
class Sealed:
    """What became of a group. `number` is its segment's, 0 if nothing was accepted."""

    decision: Decision
    number: int


@dataclass(frozen=True, slots=True)
class _Group:
    """What is sealed: requests, their events, and who these are."""

    requests: Sequence[Submission]
    candidates: Candidates
    identities: Identities


async def seal(engine: AsyncEngine, clock: Clock, requests: Sequence[Submission]) -> Sealed:
    """Store what is new in `requests` and judge every event. `engine` is the worker's.

    Raises:
        Unavailable: the database is away. Whether it committed is not known: a repeat finds out.
    """
    group = await _in_thread(sum(one.events for one in requests), _read_group, requests)
    try:
        return await _seal(engine, clock, group, alone=False)
    except _Contended:
        return await _seal(engine, clock, group, alone=True)


class _Contended(Exception):
    """Other sealers stored events of this group first, time and again."""


def _read_group(requests: Sequence[Submission]) -> _Group:
    candidates = read_candidates(requests)
    return _Group(requests, candidates, find_identities(candidates))


async def _in_thread(events: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `work` beside the event loop if there is much of it."""
    if events < THREAD_EVENTS_MIN:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


async def _seal(engine: AsyncEngine, clock: Clock, group: _Group, *, alone: bool) -> Sealed:
    async with db.begin_worker(engine) as conn:
        opened_id = await segments.open_segment(conn, SHARD, alone=alone)
        return await _seal_opened(conn, clock, group, opened_id)


async def _seal_opened(
    conn: AsyncConnection, clock: Clock, group: _Group, opened_id: int
) -> Sealed:
    decision = await _store_keys(conn, group, opened_id)
    if refused := decision.refused:
        keeping = await _in_thread(
            len(refused), rejected.rows_of_refused, group.candidates, refused
        )
        await rejected.keep_refused(conn, keeping)
    accepted = decision.accepted
    if not len(accepted):
        return Sealed(decision, 0)
    slices = await _in_thread(len(accepted), encode_slices, group.candidates, accepted)
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


async def _store_keys(conn: AsyncConnection, group: _Group, opened_id: int) -> Decision:
    """Probe, decide and insert keys, again whenever another sealer stored one in between."""
    candidates, distinct = group.candidates, group.identities.distinct
    for _ in range(ROUNDS_MAX):
        stored = await keys.find_stored(conn, SHARD, candidates, distinct)
        if differing := find_differing(candidates, group.identities, stored):
            corrected = await versions.find_digests(conn, candidates, differing)
            stored |= {
                row: replace(stored[row], corrected=digests) for row, digests in corrected.items()
            }
        decision = decide(group.requests, candidates, group.identities, stored)
        rows = group.identities.sort(decision.accepted)
        if not len(rows) or await keys.insert_keys(conn, candidates, rows, opened_id):
            return decision
        metrics.KEY_RACES.inc()
    raise _Contended


def encode_slices(candidates: Candidates, accepted: Ints) -> list[SliceContent]:
    """Return the slices of a segment of the rows `accepted`, by partition. Runs in a thread."""
    partitions = candidates.partitions[accepted]
    slices = []
    for partition in np.unique(partitions).tolist():
        indexes = np.flatnonzero(partitions == partition)
        slices.append(_slice_of(candidates, partition, accepted[indexes], indexes))
    return slices


def _slice_of(candidates: Candidates, partition: int, rows: Ints, indexes: Ints) -> SliceContent:
    times = candidates.times[rows]
    return SliceContent(
        partition=partition,
        event_count=len(rows),
        time_min=EPOCH + timedelta(microseconds=int(times.min())),
        time_max=EPOCH + timedelta(microseconds=int(times.max())),
        tenants=np.unique(candidates.tenants[rows]).tolist(),
        content=pack_content(encode(candidates, rows, indexes)),
    )
