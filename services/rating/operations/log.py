"""The event log as rating sees it, and how far its cells are complete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin_worker
from libs.tenant import Tenant
from services.rating.domain.event import ShardHead, UsageEvent
from services.rating.store.applied import Lane, load_applied


class Log(Protocol):
    """Who knows how far the log has come: ingest."""

    async def heads(self) -> Sequence[ShardHead]:
        """Return the heads of all shards.

        Raises:
            Unavailable: a shard is away.
        """

    def events(
        self,
        tenant: Tenant,
        customer_id: str,
        *,
        start: datetime,
        end: datetime | None = None,
        event_type: str = "",
    ) -> AsyncGenerator[Sequence[UsageEvent], None]:
        """Give a customer's events at and after `start`, page by page in log order.

        Only those before `end`, and of one type, if these are given.

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


class Watermark:
    """The instant before which every acknowledged event is in the cells.

    It rises when the cells reach the heads of one answer of the log. That answer is kept until
    then: under a steady stream of events the newest heads are always ahead of the cells.
    """

    def __init__(self, worker: AsyncEngine, log: Log) -> None:
        self._worker = worker
        self._log = log
        self._asked: Sequence[ShardHead] = ()
        self._reached: datetime | None = None

    async def load(self, wanted: datetime) -> datetime | None:
        """Return the watermark, looked at again if it is below `wanted`; None: none is known.

        Raises:
            Unavailable: a shard is away.
        """
        if self._reached is not None and self._reached >= wanted:
            return self._reached
        if not self._asked:
            self._asked = await self._log.heads()
        async with begin_worker(self._worker) as conn:
            applied = await load_applied(conn)
        numbers = head_numbers(self._asked)
        if self._asked and all(applied.get(lane, 0) >= numbers[lane] for lane in numbers):
            self._reached = min(head.through for head in self._asked)
            self._asked = ()
        return self._reached
