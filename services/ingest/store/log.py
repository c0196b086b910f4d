"""Reading events out of the log for one tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.ingest.store.schema import slice_


@dataclass(frozen=True, slots=True)
class LogRange:
    """Where to look for events of a tenant: from segment `first` on, None does not narrow."""

    tenant: Tenant
    shard: int
    first: int
    partition: int | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogPart:
    """The content of a slice that may hold such events."""

    number: int
    content: bytes


async def find_parts(conn: AsyncConnection, where: LogRange, *, segments_max: int) -> list[LogPart]:
    """Return the slices of the next segments in `where`, in the order of their numbers.

    All of a segment's slices that may hold such events come together. Other tenants' events lie
    in them too: decode with a `Selection`.
    """
    inside = [
        slice_.c.shard == where.shard,
        slice_.c.number >= where.first,
        slice_.c.tenants.contains([where.tenant]),
    ]
    if where.partition is not None:
        inside.append(slice_.c.partition == where.partition)
    if where.start is not None:
        inside.append(slice_.c.time_max >= where.start)
    if where.end is not None:
        inside.append(slice_.c.time_min < where.end)
    numbers = (
        select(slice_.c.number)
        .where(*inside)
        .distinct()
        .order_by(slice_.c.number)
        .limit(segments_max)
    )
    query = (
        select(slice_.c.number, slice_.c.content)
        .where(*inside, slice_.c.number.in_(numbers.scalar_subquery()))
        .order_by(slice_.c.number, slice_.c.partition)
    )
    return [LogPart(row.number, row.content) for row in await conn.execute(query)]


async def find_segment_parts(
    conn: AsyncConnection, tenant: Tenant, shard: int, number: int | None
) -> list[LogPart]:
    """Return the slices of one segment that hold events of the tenant; of none there are none."""
    query = select(slice_.c.number, slice_.c.content).where(
        slice_.c.shard == shard,
        slice_.c.number == number,
        slice_.c.tenants.contains([tenant]),
    )
    return [LogPart(row.number, row.content) for row in await conn.execute(query)]
