"""The event log: segments, their slices, and the counter that numbers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from libs.errors import Unavailable
from libs.tenant import Tenant
from services.ingest.store.schema import relay_position, segment_id, shard

# Also pins the plan of the probe that follows: with statistics from a nearly empty key table a
# cached plan would read all of it for every group.
OPENING = (
    "SELECT nextval('segment_id') AS segment_id,"
    " (SELECT time_floor FROM shard WHERE shard = :shard) AS time_floor,"
    " set_config('enable_seqscan', 'off', true),"
    " set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),"
    " {lock}(hashtextextended(:task, 0))"
)
OPEN = text(OPENING.format(lock="pg_advisory_xact_lock_shared"))
OPEN_ALONE = text(OPENING.format(lock="pg_advisory_xact_lock"))

NEWEST_SLICES = text(
    "SELECT coalesce((SELECT number FROM slice"
    "  WHERE shard = :shard AND partition = p.partition ORDER BY number DESC LIMIT 1),"
    " (SELECT number FROM trimmed_slice t"  # Asked only where the log has none.
    "  WHERE t.shard = :shard AND t.partition = p.partition), 0) AS number"
    " FROM topology, generate_series(0, partitions - 1) AS p (partition) ORDER BY p.partition"
)
TAKE_NUMBER = """
    UPDATE shard SET number = number + 1 WHERE shard = $1 RETURNING number, time_floor
"""
# After TAKE_NUMBER, not with it: the lock on the shard's row makes this statement see every slice
# before it.
INSERT_SEGMENT = """
    WITH sealed AS (
        INSERT INTO segment (shard, number, segment_id, event_count, sealed_at, traceparent)
        VALUES ($1, $2, $3, $4, $5, $6)
    )
    INSERT INTO slice (shard, partition, number, previous_number, event_count, time_min, time_max,
        correction_count, tenants, content)
    SELECT $1, part.partition, $2, coalesce((
            SELECT number FROM slice
            WHERE shard = $1 AND slice.partition = part.partition ORDER BY number DESC LIMIT 1
        ), (
            SELECT number FROM trimmed_slice AS trimmed
            WHERE trimmed.shard = $1 AND trimmed.partition = part.partition
        ), 0), part.event_count, part.time_min, part.time_max, part.correction_count,
        part.tenants::int[], part.content
    FROM unnest($7::int[], $8::int[], $9::timestamptz[], $10::timestamptz[], $11::int[],
        $12::text[], $13::bytea[])
        AS part (partition, event_count, time_min, time_max, correction_count, tenants, content)
"""
# As texts: each runs for every few events, and SQLAlchemy takes longer to put them together than
# the database to answer. Ordered by the number alone, the running sum takes all slices of a segment
# at once; what does not fit is not read.
FITTING = """
    SELECT slice.*, segment.sealed_at, segment.traceparent
    FROM (
        SELECT shard, partition, number, min(number) OVER () AS first,
            sum(size) OVER (ORDER BY number) AS through
        FROM ({listed}) AS listed
    ) AS summed
    JOIN slice USING (shard, partition, number)
    JOIN segment USING (shard, number)
    WHERE through <= :bytes_max OR number = first
    ORDER BY number, partition
"""
AFTER = """
    SELECT shard, partition, number, octet_length(content) AS size FROM slice
    WHERE shard = :shard AND partition = :partition AND number > :after {chosen}
    ORDER BY number LIMIT :count
"""
SLICES_AFTER = text(FITTING.format(listed=AFTER.format(chosen="")))
CORRECTIONS_AFTER = text(FITTING.format(listed=AFTER.format(chosen="AND correction_count > 0")))
NEXT_WINDOW = """
    SELECT slice.shard, partition, slice.number, octet_length(content) AS size
    FROM relay_position
    JOIN slice ON slice.shard = relay_position.shard
        AND slice.number > relay_position.number
        AND slice.number <= relay_position.number + :count
    WHERE relay_position.shard = :shard
"""
UNPUBLISHED = text(FITTING.format(listed=NEXT_WINDOW))
MARK_PUBLISHED = text("UPDATE relay_position SET number = :number WHERE shard = :shard")
SEGMENTS_MAX = 64  # Read at once.


class FloorRaised(Unavailable):
    """Meanwhile older events are rejected than when these were judged: judge them again."""


class Opened(NamedTuple):
    """What a sealing transaction begins with; events before `floor` are not to be stored."""

    segment_id: int
    floor: datetime | None


@dataclass(frozen=True, slots=True)
class SliceContent:
    """One partition's part of a segment that is being sealed."""

    partition: int
    event_count: int
    time_min: datetime
    time_max: datetime
    tenants: Sequence[Tenant]
    content: bytes
    correction_count: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """A stored slice, as it goes to rating."""

    shard: int
    partition: int
    number: int
    previous_number: int
    event_count: int
    sealed_at: datetime
    traceparent: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ShardHead:
    """The newest numbers of a shard; `slice_numbers` by partition, 0 for none."""

    shard: int
    number: int
    through: datetime
    slice_numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a shard is: segments sealed, segments published, attempts to seal."""

    number: int
    published: int
    attempts: int


async def open_segment(conn: AsyncConnection, shard_id: int, *, alone: bool) -> Opened:
    """Return a new segment id, and the shard's floor. The first statement of a sealing transaction.

    Sealers run side by side, but for one that is `alone`: it waits for the others to end, and
    holds up those that come after it until its transaction ends.
    """
    opening = OPEN_ALONE if alone else OPEN
    asked = {"task": f"seal {shard_id}", "shard": shard_id}
    row = (await conn.execute(opening, asked)).one()
    return Opened(row.segment_id, row.time_floor)


async def load_number(conn: AsyncConnection, shard_id: int) -> int:
    """Return the number of the shard's newest segment, 0 for none."""
    query = select(shard.c.number).where(shard.c.shard == shard_id)
    return int((await conn.execute(query)).scalar_one())


async def append_segment(
    conn: AsyncConnection,
    *,
    shard_id: int,
    opened: Opened,
    sealed_at: datetime,
    traceparent: str,
    slices: Sequence[SliceContent],
) -> int:
    """Take the shard's next number, insert a segment and its slices; return the number.

    The last lock of a sealing transaction, on the shard's row until it ends: numbers are gapless
    because they are committed with their segment, and no one waits for them longer than the
    statement that follows.

    Whoever raises the floor locks the row as well. So either this segment, and its keys, are
    committed before the floor is raised and any key is pruned, or the raised floor is seen here.

    Raises:
        FloorRaised: the shard's floor is not the one by which the events were judged.
    """
    events = sum(part.event_count for part in slices)
    async with driver(conn) as raw:
        number, floor = await raw.fetchrow(TAKE_NUMBER, shard_id)
        if floor != opened.floor:
            raise FloorRaised(f"events before {floor} are rejected now")
        await raw.execute(
            INSERT_SEGMENT,
            shard_id,
            number,
            opened.segment_id,
            events,
            sealed_at,
            traceparent,
            [part.partition for part in slices],
            [part.event_count for part in slices],
            [part.time_min for part in slices],
            [part.time_max for part in slices],
            [part.correction_count for part in slices],
            ["{" + ",".join(map(str, part.tenants)) + "}" for part in slices],
            [part.content for part in slices],
        )
    return int(number)


async def lock_heads(
    conn: AsyncConnection, shards: Sequence[int], *, through: datetime
) -> list[ShardHead]:
    """Return the heads of the shards, in order: they hold what was acknowledged `through` then.

    Waits for every transaction that holds a number.
    """
    query = select(shard.c.shard, shard.c.number).where(shard.c.shard.in_(shards))
    locked = await conn.execute(query.order_by(shard.c.shard).with_for_update())
    return [
        ShardHead(row.shard, row.number, through, await _slice_numbers(conn, row.shard))
        for row in locked.all()
    ]


async def find_slices(
    conn: AsyncConnection,
    shard_id: int,
    partition: int,
    *,
    after: int,
    bytes_max: int,
    corrections_only: bool = False,
) -> list[Slice]:
    """Return the partition's next slices after the number `after`, in order.

    As many as fit into `bytes_max` of content, one at least if there is any, 64 at most.
    """
    asked = {
        "shard": shard_id,
        "partition": partition,
        "after": after,
        "count": SEGMENTS_MAX,
        "bytes_max": bytes_max,
    }
    query = CORRECTIONS_AFTER if corrections_only else SLICES_AFTER
    return [_slice(row) for row in await conn.execute(query, asked)]


async def find_unpublished(conn: AsyncConnection, shard_id: int, *, bytes_max: int) -> list[Slice]:
    """Return the next slices that no one has confirmed to be published, in order.

    Whole segments only: as many as fit into `bytes_max`, one at least, 64 at most.
    """
    asked = {"shard": shard_id, "count": SEGMENTS_MAX, "bytes_max": bytes_max}
    return [_slice(row) for row in await conn.execute(UNPUBLISHED, asked)]


async def mark_published(conn: AsyncConnection, shard_id: int, number: int) -> None:
    """Confirm the segments up to `number`."""
    await conn.execute(MARK_PUBLISHED, {"shard": shard_id, "number": number})


async def load_progress(conn: AsyncConnection, shard_id: int) -> Progress:
    """Return how far the shard is."""
    query = (
        select(shard.c.number, relay_position.c.number.label("published"))
        .join(relay_position, relay_position.c.shard == shard.c.shard)
        .where(shard.c.shard == shard_id)
    )
    row = (await conn.execute(query)).one()
    # The right to use the sequence, which is all that our roles have, is enough for this.
    attempts = await conn.scalar(select(func.pg_sequence_last_value(segment_id.name)))
    return Progress(row.number, row.published, attempts or 0)


async def _slice_numbers(conn: AsyncConnection, shard_id: int) -> list[int]:
    """Return the number of each partition's newest slice, by partition."""
    rows = await conn.execute(NEWEST_SLICES, {"shard": shard_id})
    return [row.number for row in rows]


def _slice(row: Row[Any]) -> Slice:
    return Slice(
        shard=row.shard,
        partition=row.partition,
        number=row.number,
        previous_number=row.previous_number,
        event_count=row.event_count,
        sealed_at=row.sealed_at,
        traceparent=row.traceparent,
        content=row.content,
    )
