"""What rating asks of the log: slices in order, and how far it goes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db
from libs.clock import Clock
from libs.idle import Idle
from services.ingest.operations import metrics
from services.ingest.operations.recording import Recorder
from services.ingest.operations.retention import Keeper
from services.ingest.operations.sealing import SHARD
from services.ingest.store import segments, trimming
from services.ingest.store.segments import ShardHead, Slice

READ_BYTES_MAX = 8 * 1024 * 1024


async def load_heads(engine: AsyncEngine, clock: Clock, shards: Sequence[int]) -> list[ShardHead]:
    """Return the heads of `shards`, `through` now. `engine` is the worker's.

    The time is read before the rows are locked: whoever was acknowledged before it has committed,
    and released the row, by then. It is never that of an earlier answer: once a clock goes back,
    events are acknowledged that come before it.
    """
    now = clock.now()
    async with db.begin_worker(engine) as conn:
        return await segments.lock_heads(conn, shards, through=now)


async def load_slices(
    engine: AsyncEngine, *, shard: int, partition: int, after: int, corrections_only: bool = False
) -> list[Slice]:
    """Return the partition's next slices after a number, in order; none at the head.

    Raises:
        LogTrimmed: one of them was dropped.
    """
    async with db.begin_worker(engine) as conn:
        found = await segments.find_slices(
            conn,
            shard,
            partition,
            after=after,
            corrections_only=corrections_only,
            bytes_max=READ_BYTES_MAX,
        )
        await trimming.check_slices_kept(conn, shard, partition, after=after)
    return found


async def check_idle(engine: AsyncEngine, recorder: Recorder, keeper: Keeper) -> Idle:
    """Tell what is left to do: requests without an answer, segments not yet published, retention.

    Retention is no instant to stop at: it changes nothing that is billed.
    """
    in_flight = recorder.in_flight
    async with db.begin_worker(engine) as conn:
        progress = await segments.load_progress(conn, SHARD)
    waiting = progress.number - progress.published
    metrics.UNPUBLISHED.set(waiting)
    busy = [f"{in_flight} requests are in flight"] if in_flight else []
    busy += [f"{waiting} segments are not published"] if waiting else []
    if (due := await keeper.find_due()) is not None:
        busy.append(str(due))
    marks = {"number": progress.number, "seals": progress.attempts}
    return Idle(busy=busy, marks=marks, next_due_at=None)
