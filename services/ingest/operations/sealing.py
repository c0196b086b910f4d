"""Sealing a group of requests: one transaction, after which every verdict is durable.

Lock order: the sealers' advisory lock, shared; keys ascending; rejected events ascending; and last
the shard's counter row, so that sealers run side by side up to the two inserts at the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db, telemetry
from libs.clock import Clock
from services.ingest.domain.candidates import Candidates, Submission, read_candidates
from services.ingest.domain.columns import Columns
from services.ingest.domain.encoding import encode_parts
from services.ingest.domain.retention import refuse_below
from services.ingest.domain.verdicts import (
    Decision,
    Identities,
    decide,
    find_differing,
    find_identities,
)
from services.ingest.domain.wire import Ints
from services.ingest.operations import metrics
from services.ingest.operations.in_flight import InFlight
from services.ingest.operations.recent_keys import Hashes, RecentKeys, key_hashes
from services.ingest.operations.sealing_plain import NotPlain, may_be_plain, seal_plain
from services.ingest.store import keys, rejected, segments, versions
from services.ingest.store.segments import FloorRaised, Opened, SliceContent
from services.ingest.store.slice_content import pack_content

log = logging.getLogger(__name__)

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
    recent: RecentKeys
    hashes: Hashes  # Of the distinct identities.
    known: Ints  # Those of them that may have come before.


async def seal(
    engine: AsyncEngine, clock: Clock, in_flight: InFlight, requests: Sequence[Submission]
) -> Sealed:
    """Store what is new in `requests` and judge every event. `engine` is the worker's.

    Raises:
        Unavailable: the database is away. Whether it committed is not known: a repeat finds out.
    """
    events = sum(one.events for one in requests)
    group = await _in_thread(events, _read_group, requests, in_flight.recent)
    async with in_flight.turn(group.hashes, _hashes(group.candidates, group.known)):
        if may_be_plain(group.candidates):
            with suppress(NotPlain, FloorRaised):
                return await _seal_plain(engine, clock, group)
        return await _seal_until_done(engine, clock, group)


async def _seal_until_done(engine: AsyncEngine, clock: Clock, group: _Group) -> Sealed:
    alone = False
    while True:
        try:
            return await _seal(engine, clock, group, alone=alone)
        except _Contended:
            if alone:
                raise
            alone = True
        except FloorRaised:  # Once a day; its own transaction saw the old floor.
            log.info("a group is judged again, the floor was raised")


async def _seal_plain(engine: AsyncEngine, clock: Clock, group: _Group) -> Sealed:
    requests, candidates, identities = group.requests, group.candidates, group.identities
    return Sealed(
        *await seal_plain(engine, clock, SHARD, requests, candidates, identities, encode_slices)
    )


class _Contended(Exception):
    """Other sealers stored events of this group first, time and again."""


def _read_group(requests: Sequence[Submission], recent: RecentKeys) -> _Group:
    candidates = read_candidates(requests)
    identities = find_identities(candidates)
    hashes = _hashes(candidates, identities.distinct)
    known = identities.distinct[recent.take(hashes)]
    return _Group(requests, candidates, identities, recent, hashes, known)


def _hashes(candidates: Candidates, rows: Ints) -> Hashes:
    return key_hashes(candidates.tenants[rows], candidates.keys[rows])


async def _in_thread(events: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `work` beside the event loop if there is much of it."""
    if events < THREAD_EVENTS_MIN:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


async def _seal(engine: AsyncEngine, clock: Clock, group: _Group, *, alone: bool) -> Sealed:
    async with db.begin_worker(engine) as conn:
        opened = await segments.open_segment(conn, SHARD, alone=alone)
        return await _seal_opened(conn, clock, _above(group, opened.floor), opened)


def _above(group: _Group, floor: datetime | None) -> _Group:
    """Return `group` with every event before `floor` at fault; mostly there is none."""
    candidates = refuse_below(group.candidates, floor)
    if candidates is group.candidates:
        return group
    return replace(group, candidates=candidates, identities=find_identities(candidates))


async def _seal_opened(
    conn: AsyncConnection, clock: Clock, group: _Group, opened: Opened
) -> Sealed:
    decision = await _store_keys(conn, group, opened.segment_id)
    if refused := decision.refused:
        keeping = await _in_thread(
            len(refused), rejected.rows_of_refused, group.candidates, refused
        )
        await rejected.keep_refused(conn, keeping)
    accepted = decision.accepted
    if not len(accepted):
        return Sealed(decision, 0)
    slices = await _in_thread(len(accepted), encode_slices, group.candidates, accepted)
    number = await segments.append_segment(
        conn,
        shard_id=SHARD,
        opened=opened,
        sealed_at=clock.now(),
        traceparent=telemetry.headers().get("traceparent", ""),
        slices=slices,
    )
    return Sealed(decision, number)


async def _store_keys(conn: AsyncConnection, group: _Group, opened_id: int) -> Decision:
    """Probe, decide and insert keys, again whenever one was stored that no probe has seen.

    First only keys that came of late are probed. If another one is stored, all are.
    """
    candidates, probed = group.candidates, group.known
    for _ in range(ROUNDS_MAX):
        stored = await keys.find_stored(conn, SHARD, candidates, probed)
        if stored.keys() - set(group.known.tolist()):
            group.recent.doubt()
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
        probed = group.identities.distinct
    raise _Contended


def encode_slices(candidates: Candidates, accepted: Ints) -> list[SliceContent]:
    """Return the slices of a segment of the rows `accepted`, by partition. Runs in a thread."""
    partitions = candidates.partitions[accepted]
    found = np.unique(partitions)
    indexes = [np.flatnonzero(partitions == partition) for partition in found]
    parts = [accepted[places] for places in indexes]
    return [
        _slice_of(candidates, partition, rows, columns)
        for partition, rows, columns in zip(
            found.tolist(), parts, encode_parts(candidates, parts, indexes), strict=True
        )
    ]


def _slice_of(candidates: Candidates, partition: int, rows: Ints, columns: Columns) -> SliceContent:
    times = candidates.times[rows]
    return SliceContent(
        partition=partition,
        event_count=len(rows),
        time_min=EPOCH + timedelta(microseconds=int(times.min())),
        time_max=EPOCH + timedelta(microseconds=int(times.max())),
        tenants=np.unique(candidates.tenants[rows]).tolist(),
        content=pack_content(columns),
    )
