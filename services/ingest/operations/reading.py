"""Reading a tenant's events out of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db
from libs.tenant import Tenant
from services.ingest.domain.columns import Selection, decode
from services.ingest.domain.event import Event, EventNotFound, LoggedEvent
from services.ingest.domain.identity import event_key
from services.ingest.domain.retention import LogTrimmed
from services.ingest.domain.sent import read_event, read_events
from services.ingest.domain.version import Found, Position, Version
from services.ingest.operations.sealing import SHARD
from services.ingest.store import keys, log, rejected, segments, trimming, versions
from services.ingest.store.log import LogPart, LogRange
from services.ingest.store.rejected import RejectedEvent, RejectedPage
from services.ingest.store.slice_content import unpack_content
from services.ingest.store.versions import Stretch

SEGMENTS_AT_ONCE = 8
SEGMENTS_MAX = 256  # One call decodes no more; its answer then says where to go on.
VERSIONS_AT_ONCE = 1_000
NUMBER_MAX, INDEX_MAX = 2**63 - 1, 2**31 - 1


@dataclass(frozen=True, slots=True)
class AsOf:
    """With which corrections events are read: those in segments up to `through`; 0: all."""

    through: int = 0
    include_retracted: bool = False


NOW = AsOf()


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in log order; `resume` is where the next page begins, None at the log's end."""

    events: Sequence[Found]
    resume: Position | None


async def get_event(
    engine: AsyncEngine, tenant: Tenant, *, source: str, event_id: str, key_secret: bytes
) -> Found:
    """Return the tenant's event of this identity.

    Raises:
        EventNotFound: the tenant stored no such event.
        LogTrimmed: it did, and the log does not have it any more.
    """
    key = event_key(source, event_id, key_secret)
    async with db.begin(engine, tenant) as conn:
        stored = await keys.find_segment(conn, tenant, SHARD, key)
        if stored is None:
            raise EventNotFound(f"no event of source {source!r} has the id {event_id!r}")
        newest = await versions.find_newest(conn, tenant, key)
        if newest is not None:
            return corrected(tenant, newest)
        [number] = stored
        parts = await log.find_segment_parts(conn, tenant, SHARD, number)
    return await find_recorded(parts, tenant, source=source, event_id=event_id)


async def find_recorded(
    parts: Sequence[LogPart], tenant: Tenant, *, source: str, event_id: str
) -> Found:
    """Return an event as it was recorded, out of the slices of its segment.

    Raises:
        LogTrimmed: there are none any more.
    """
    if not parts:
        raise LogTrimmed(f"the event {event_id!r} of source {source!r} is no longer in the log")
    selection = Selection(tenant, id=event_id, source=source)
    (found,) = await asyncio.to_thread(_decode, parts, selection, None, {})
    return found


def corrected(tenant: Tenant, version: Version) -> Found:
    """Return the event that `version` is."""
    return _corrected(tenant, version, read_event(version.content))


def _corrected(tenant: Tenant, version: Version, event: Event) -> Found:
    return Found(
        position=version.origin,
        logged=LoggedEvent(tenant, version.origin.index, event, version.received),
        version=version.version,
        corrected_at=version.corrected_at,
        retracted=version.retracted,
    )


async def list_events(
    engine: AsyncEngine,
    where: LogRange,
    selection: Selection,
    *,
    page_size: int,
    after: Position | None,
    as_of: AsOf = NOW,
) -> EventPage:
    """Return the next events that `selection` chooses, in log order, behind the place `after`.

    A page may be short, or empty, before the log's end: reading stops after 256 segments.

    Raises:
        LogTrimmed: some of them may have been dropped.
    """
    selection = replace(selection, rows_max=page_size + 1)
    where = where if after is None else replace(where, first=after.number)
    start = after or Position(where.first, -1)
    events: list[Found] = []
    for _ in range(SEGMENTS_MAX // SEGMENTS_AT_ONCE):
        async with db.begin(engine, where.tenant) as conn:
            through = as_of.through or await segments.load_number(conn, SHARD)
            parts = await log.find_parts(conn, where, segments_max=SEGMENTS_AT_ONCE)
            numbers = sorted({part.number for part in parts})
            ends = len(numbers) < SEGMENTS_AT_ONCE
            await trimming.check_events_kept(conn, where)
            hidden = await versions.find_places(conn, where.tenant, numbers, through=through)
            stretch = Stretch(start, NUMBER_MAX if ends else numbers[-1], through)
            added = await _find_corrected(conn, stretch, selection, as_of)
        found = await asyncio.to_thread(_decode, parts, selection, after, hidden)
        events += sorted([*found, *added], key=lambda one: one.position)
        if len(events) > page_size:
            return EventPage(events[:page_size], events[page_size - 1].position)
        if ends:
            return EventPage(events, None)
        start = Position(numbers[-1], INDEX_MAX)
        where = replace(where, first=numbers[-1] + 1)
    return EventPage(events, Position(where.first - 1, INDEX_MAX))


async def list_rejected(
    engine: AsyncEngine, tenant: Tenant, page: RejectedPage
) -> tuple[list[RejectedEvent], bool]:
    """Return the tenant's rejected events, newest first, and whether more follow."""
    async with db.begin(engine, tenant) as conn:
        return await rejected.find_rejected(conn, tenant, page)


def log_range(
    tenant: Tenant, *, partition: int | None, start: datetime | None, end: datetime | None
) -> LogRange:
    """Return where to look for a tenant's events."""
    return LogRange(tenant, SHARD, 1, partition, start, end)


async def _find_corrected(
    conn: AsyncConnection, stretch: Stretch, selection: Selection, as_of: AsOf
) -> list[Found]:
    """Return the first corrected events in `stretch` that `selection` chooses, as they are now."""
    chosen: list[Found] = []
    assert selection.rows_max is not None
    while len(chosen) < selection.rows_max:
        found = await versions.find_versions(
            conn,
            selection.tenant,
            stretch,
            customer_id=selection.customer_id,
            limit=VERSIONS_AT_ONCE,
        )
        chosen += await asyncio.to_thread(_choose, found, selection, as_of)
        if len(found) < VERSIONS_AT_ONCE:
            break
        stretch = replace(stretch, after=found[-1].origin)
    return chosen


def _choose(found: Sequence[Version], selection: Selection, as_of: AsOf) -> list[Found]:
    shown = [one for one in found if as_of.include_retracted or not one.retracted]
    events = read_events([one.content for one in shown])
    return [
        _corrected(selection.tenant, version, event)
        for version, event in zip(shown, events, strict=True)
        if selection.chooses(event, version.time)
    ]


def _decode(
    parts: Sequence[LogPart],
    selection: Selection,
    after: Position | None,
    hidden: Mapping[int, frozenset[int]],
) -> list[Found]:
    """Return the chosen events of whole segments, merged over their slices.

    `hidden` are the places, by segment, of events that were corrected.
    """
    events: list[Found] = []
    for number, slices in groupby(parts, key=lambda part: part.number):
        resumed = after is not None and after.number == number
        chosen = replace(
            selection,
            after_index=after.index if after and resumed else -1,
            hidden=hidden.get(number, frozenset()),
        )
        events += sorted(
            (
                Found(Position(number, logged.place), logged)
                for part in slices
                for logged in decode(unpack_content(part.content), chosen)
            ),
            key=lambda found: found.position,
        )
        if selection.rows_max is not None and len(events) >= selection.rows_max:
            break  # A page is full: the other segments are for the next one.
    return events
