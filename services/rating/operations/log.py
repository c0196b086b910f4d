"""The event log as rating sees it, and how far its cells are complete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin_worker
from services.rating.domain.event import ShardHead
from services.rating.store.applied import Lane, load_applied


class Log(Protocol):
    """Who knows how far the log has come: ingest."""

    async def heads(self) -> Sequence[ShardHead]:
        """Return the heads of all shards.

        Raises:
            Unavailable: a shard is away.
        """


def head_numbers(heads: Sequence[ShardHead]) -> dict[Lane, int]:
    """Return the number of the newest slice of each lane."""
    return {
        Lane(head.shard, partition): number
        for head in heads
        for partition, number in enumerate(head.slice_numbers)
    }


async def load_watermark(worker: AsyncEngine, log: Log) -> datetime | None:
    """Return the instant before which every acknowledged event is in the cells.

    None: the cells lack what one answer of the log had at its heads. The log is asked first:
    read in the other order, a slice could fall between the two.
    """
    heads = await log.heads()
    async with begin_worker(worker) as conn:
        applied = await load_applied(conn)
    if any(applied.get(lane, 0) < number for lane, number in head_numbers(heads).items()):
        return None
    return min((head.through for head in heads), default=None)
