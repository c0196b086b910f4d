"""Reading a tenant's events out of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db
from libs.tenant import Tenant
from services.ingest.domain.columns import Selection, decode
from services.ingest.domain.event import EventNotFound, LoggedEvent
from services.ingest.domain.identity import event_key
from services.ingest.operations.sealing import SHARD
from services.ingest.store import keys, log, rejected
from services.ingest.store.log import LogPart, LogRange
from services.ingest.store.rejected import RejectedEvent, RejectedPage
from services.ingest.store.slice_content import unpack_content

SEGMENTS_AT_ONCE = 8
SEGMENTS_MAX = 256  # One call decodes no more; its answer then says where to go on.
INDEX_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a shard's log."""

    number: int
    index: int


@dataclass(frozen=True, slots=True)
class Found:
    """An event and where it lies."""

    position: Position
    logged: LoggedEvent


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
    """
    key = event_key(source, event_id, key_secret)
    async with db.begin(engine, tenant) as conn:
        number = await keys.find_segment(conn, tenant, SHARD, key)
        parts = []
        if number is not None:
            parts = await log.find_segment_parts(conn, tenant, SHARD, number)
    selection = Selection(tenant, id=event_id, source=source)
    for found in await asyncio.to_thread(_decode, parts, selection, None):
        return found
    raise EventNotFound(f"no event of source {source!r} has the id {event_id!r}")


async def list_events(
    engine: AsyncEngine,
    where: LogRange,
    selection: Selection,
    *,
    page_size: int,
    after: Position | None,
) -> EventPage:
    """Return the next events that `selection` chooses, in log order, behind the place `after`.

    A page may be short, or empty, before the log's end: reading stops after 256 segments.
    """
    selection = replace(selection, rows_max=page_size + 1)
    where = where if after is None else replace(where, first=after.number)
    events: list[Found] = []
    for _ in range(SEGMENTS_MAX // SEGMENTS_AT_ONCE):
        async with db.begin(engine, where.tenant) as conn:
            parts = await log.find_parts(conn, where, segments_max=SEGMENTS_AT_ONCE)
        events += await asyncio.to_thread(_decode, parts, selection, after)
        if len(events) > page_size:
            return EventPage(events[:page_size], events[page_size - 1].position)
        if len({part.number for part in parts}) < SEGMENTS_AT_ONCE:
            return EventPage(events, None)
        where = replace(where, first=parts[-1].number + 1)
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


def _decode(parts: Sequence[LogPart], selection: Selection, after: Position | None) -> list[Found]:
    """Return the chosen events of whole segments, merged over their slices."""
    events: list[Found] = []
    for number, slices in groupby(parts, key=lambda part: part.number):
        resumed = after is not None and after.number == number
        chosen = replace(selection, after_index=after.index if after and resumed else -1)
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
