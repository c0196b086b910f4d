"""What becomes of old keys and of the old end of the log.

The shard's row is locked by all that moves a bound: the floor, how far keys are pruned, and how
far the log is trimmed. A bound is committed before anything behind it is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from services.ingest.domain.retention import LogTrimmed
from services.ingest.store.log import LogRange
from services.ingest.store.schema import segment, shard, slice_, trimmed_slice, trimmed_tenant

EDGE = text("""
    SELECT s.number, s.time_floor, s.pruned_number, s.trimmed_number, r.number AS published_number,
        EXISTS (SELECT FROM segment WHERE shard = s.shard AND number <= s.trimmed_number)
            AS has_trimmed,
        (SELECT sealed_at FROM segment WHERE shard = s.shard AND number > s.trimmed_number
            ORDER BY number LIMIT 1) AS oldest_at,
        (SELECT sealed_at FROM segment WHERE shard = s.shard
            AND number > greatest(s.pruned_number, s.trimmed_number)
            ORDER BY number LIMIT 1) AS unpruned_at
    FROM shard s JOIN relay_position r ON r.shard = s.shard
    WHERE s.shard = :shard
""")
# Everything else would read all of a table that holds a row for each event.
BY_INDEX = text(
    "SELECT set_config('enable_seqscan', 'off', true),"
    " set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
)
# What was corrected keeps its key: any of its versions may be sent again, whenever it happened.
DELETE_KEYS = """
    DELETE FROM event_key k USING unnest($1::int[], $2::bytea[]) AS old (tenant, key)
    WHERE k.tenant = old.tenant AND k.key = old.key AND NOT EXISTS (
        SELECT FROM event_version v WHERE v.tenant = k.tenant AND v.key = k.key)
"""
KEEP_CHAINS = text("""
    INSERT INTO trimmed_slice (shard, partition, number)
    SELECT :shard, p.partition, newest.number
    FROM topology, generate_series(0, partitions - 1) AS p (partition), LATERAL (
        SELECT number FROM slice
        WHERE shard = :shard AND partition = p.partition AND number <= :through
        ORDER BY number DESC LIMIT 1) AS newest
    ON CONFLICT (shard, partition) DO UPDATE SET number = excluded.number
""")
KEEP_TIMES = text("""
    INSERT INTO trimmed_tenant (tenant, shard, partition, time_max)
    SELECT t.tenant, shard, partition, max(time_max)
    FROM slice, unnest(tenants) AS t (tenant)
    WHERE shard = :shard AND number > :after AND number <= :through
    GROUP BY t.tenant, shard, partition
    ON CONFLICT (tenant, shard, partition)
    DO UPDATE SET time_max = greatest(trimmed_tenant.time_max, excluded.time_max)
""")
DELETE_SLICES = text("DELETE FROM slice WHERE shard = :shard AND number <= :through")
DELETE_SEGMENTS = text(
    "DELETE FROM segment WHERE shard = :shard AND number <= :through RETURNING event_count"
)


@dataclass(frozen=True, slots=True)
class Edge:
    """The old end of a shard's log."""

    number: int  # Of the newest segment.
    time_floor: datetime | None
    pruned_number: int
    trimmed_number: int
    published_number: int
    has_trimmed: bool  # Segments up to `trimmed_number` are still to be deleted.
    oldest_at: datetime | None  # When the first segment behind `trimmed_number` was sealed.
    unpruned_at: datetime | None  # The same of the first one whose keys are all there.


@dataclass(frozen=True, slots=True)
class Stretch:
    """The segments behind `after` up to `through`."""

    after: int
    through: int


@dataclass(frozen=True, slots=True)
class SealedPart:
    """A slice as it is pruned or exported."""

    number: int
    sealed_at: datetime
    content: bytes


async def load_edge(conn: AsyncConnection, shard_id: int) -> Edge:
    """Return where the shard's log begins."""
    return Edge(**(await conn.execute(EDGE, {"shard": shard_id})).mappings().one())


async def raise_floor(conn: AsyncConnection, shard_id: int, floor: datetime) -> None:
    """Let no event before `floor` be stored from this commit on; never lowers it.

    Waits for every sealer that holds a number: its keys are there when this returns.
    """
    raising = (
        update(shard)
        .where(
            shard.c.shard == shard_id,
            or_(shard.c.time_floor.is_(None), shard.c.time_floor < floor),
        )
        .values(time_floor=floor)
    )
    await conn.execute(raising)


async def find_sealed_parts(
    conn: AsyncConnection, shard_id: int, stretch: Stretch, *, segments_max: int
) -> list[SealedPart]:
    """Return the slices with events of the next segments in `stretch`, whole ones, in order."""
    last = min(stretch.through, stretch.after + segments_max)
    query = (
        select(slice_.c.number, segment.c.sealed_at, slice_.c.content)
        .join(segment, (segment.c.shard == slice_.c.shard) & (segment.c.number == slice_.c.number))
        .where(
            slice_.c.shard == shard_id,
            slice_.c.number.between(stretch.after + 1, last),
            slice_.c.event_count > 0,
        )
        .order_by(slice_.c.number, slice_.c.partition)
    )
    return [SealedPart(*row) for row in await conn.execute(query)]


async def find_last_before(
    conn: AsyncConnection, shard_id: int, stretch: Stretch, instant: datetime
) -> int:
    """Return the last number in `stretch` before the first one not sealed before `instant`."""
    later = (
        select(segment.c.number)
        .where(
            segment.c.shard == shard_id,
            segment.c.number.between(stretch.after + 1, stretch.through),
            segment.c.sealed_at >= instant,
        )
        .order_by(segment.c.number)
        .limit(1)
    )
    number = (await conn.execute(later)).scalar_one_or_none()
    return stretch.through if number is None else number - 1


async def find_time_max(
    conn: AsyncConnection, shard_id: int, stretch: Stretch
) -> tuple[datetime | None, int]:
    """Return up to when the events of `stretch` happened, and how many they are."""
    within = (slice_.c.shard == shard_id) & (
        slice_.c.number.between(stretch.after + 1, stretch.through)
    )
    summed = func.coalesce(func.sum(slice_.c.event_count), 0)
    row = (await conn.execute(select(func.max(slice_.c.time_max), summed).where(within))).one()
    return row[0], int(row[1])


async def prune(
    conn: AsyncConnection, shard_id: int, identities: Sequence[tuple[int, bytes]], through: int
) -> int:
    """Delete keys, and note that this was done up to the segment `through`; return how many."""
    await conn.execute(BY_INDEX)
    async with driver(conn) as raw:
        tenants, keys = [one[0] for one in identities], [one[1] for one in identities]
        done: str = await raw.execute(DELETE_KEYS, tenants, keys)
    pruned = update(shard).where(shard.c.shard == shard_id, shard.c.pruned_number < through)
    await conn.execute(pruned.values(pruned_number=through))
    return int(done.removeprefix("DELETE "))


async def trim(conn: AsyncConnection, shard_id: int, stretch: Stretch) -> None:
    """Let nobody read the segments up to `stretch.through` from this commit on.

    `stretch` begins where the log was trimmed before, and holds a segment at least.
    """
    locked = select(shard.c.trimmed_number).where(shard.c.shard == shard_id).with_for_update()
    if (await conn.execute(locked)).scalar_one() != stretch.after:
        return  # Another process did it.
    asked = {"shard": shard_id, "after": stretch.after, "through": stretch.through}
    await conn.execute(KEEP_CHAINS, asked)
    await conn.execute(KEEP_TIMES, asked)
    moved = update(shard).where(shard.c.shard == shard_id)
    await conn.execute(moved.values(trimmed_number=stretch.through))


async def delete_trimmed(
    conn: AsyncConnection, shard_id: int, *, segments_max: int
) -> tuple[int, int]:
    """Delete the next segments of those that nobody reads; return how many, with their events."""
    first = select(func.min(segment.c.number)).where(segment.c.shard == shard_id)
    oldest = (await conn.execute(first)).scalar_one_or_none()
    trimmed = select(shard.c.trimmed_number).where(shard.c.shard == shard_id)
    through = (await conn.execute(trimmed)).scalar_one()
    if oldest is None or oldest > through:
        return 0, 0
    asked = {"shard": shard_id, "through": min(through, oldest + segments_max - 1)}
    await conn.execute(DELETE_SLICES, asked)
    counts = (await conn.execute(DELETE_SEGMENTS, asked)).scalars().all()
    return len(counts), sum(counts)


async def check_slices_kept(
    conn: AsyncConnection, shard_id: int, partition: int, *, after: int
) -> None:
    """Check that no slice of a partition behind the number `after` was dropped.

    Asked after they were read: what is deleted in between was trimmed before that.

    Raises:
        LogTrimmed: one was.
    """
    query = select(trimmed_slice.c.number).where(
        trimmed_slice.c.shard == shard_id, trimmed_slice.c.partition == partition
    )
    trimmed = (await conn.execute(query)).scalar_one_or_none()
    if trimmed is not None and after < trimmed:
        raise LogTrimmed(
            f"slices of the partition {partition} up to number {trimmed} are no longer in the log, "
            f"those after {after} are asked for",
            metadata={"trimmed_number": str(trimmed), "after_number": str(after)},
        )


async def check_events_kept(conn: AsyncConnection, where: LogRange) -> None:
    """Check that none of the tenant's events in `where` was dropped. Asked as above.

    Raises:
        LogTrimmed: one may be among them; it says from when on all are there.
    """
    trimmed = select(shard.c.trimmed_number).where(shard.c.shard == where.shard)
    newest = select(func.max(trimmed_tenant.c.time_max)).where(
        trimmed_tenant.c.tenant == where.tenant,
        trimmed_tenant.c.shard == where.shard,
        where.first <= trimmed.scalar_subquery(),
    )
    if where.partition is not None:
        newest = newest.where(trimmed_tenant.c.partition == where.partition)
    time_max = (await conn.execute(newest)).scalar_one()
    if time_max is not None and (where.start is None or where.start <= time_max):
        raise LogTrimmed(
            f"events up to {time_max.isoformat()} may no longer be in the log: "
            "ask for those after that",
            metadata={"time_max": time_max.isoformat()},
        )
