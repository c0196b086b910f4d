"""The event log as rating sees it, and how far its cells are complete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin_worker
from libs.telemetry import headers
from libs.tenant import Tenant
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import Correction, ShardHead, UsageEvent
from services.rating.store.applied import Lane, load_applied

LOG_TRIMMED = "LOG_TRIMMED"  # The reason for which ingest refuses what it has dropped.


class LogUnreadable(Exception):
    """A slice of the log holds what cannot be read."""


class LogBroken(Exception):
    """The log of a lane does not go on after the number `position`."""

    def __init__(self, position: int, said: str) -> None:
        super().__init__(said)
        self.position, self.said = position, said


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
        corrected_through: int = 0,
    ) -> AsyncGenerator[Sequence[UsageEvent], None]:
        """Give a customer's events at and after `start`, page by page in log order.

        Only those before `end`, and of one type, if these are given; as corrections in segments up
        to `corrected_through` have made them, 0: all corrections.

        Raises:
            Unavailable: a shard is away.
        """


class LogPages(Protocol):
    """The event log, read by lane: ingest."""

    async def heads(self) -> Sequence[ShardHead]:
        """Return the heads of all shards.

        Raises:
            Unavailable: a shard is away.
        """

    async def page(self, lane: Lane, *, after: int) -> Sequence[Slice]:
        """Return the next slices of `lane` after the number `after`; none at its end.

        Raises:
            Unavailable: a shard is away.
            LogUnreadable: one of them cannot be read.
        """

    async def corrections(self, lane: Lane, *, through: int) -> Sequence[Correction]:
        """Return the corrections in the slices of `lane` up to a number, in order.

        Raises as `page` does.
        """


class WholeLog(Log, LogPages, Protocol):
    """The event log, read by customer and by lane."""


async def pages_of(
    log: LogPages, lane: Lane, through: int, *, after: int = 0
) -> AsyncGenerator[Sequence[Slice], None]:
    """Give the slices of `lane` up to the number `through`, page by page and every one.

    Those behind the number `after`, at which a slice lies; 0: from the first one on.

    Raises:
        LogBroken: one is missing or cannot be read.
    """
    position = after
    while position < through:
        try:
            page = await log.page(lane, after=position)
        except LogUnreadable as error:
            raise LogBroken(position, str(error)) from error
        page = [piece for piece in page if piece.number <= through]
        before = [position, *(piece.number for piece in page)]
        if not page or [piece.previous_number for piece in page] != before[:-1]:
            raise LogBroken(position, "a slice is missing")
        yield page
        position = page[-1].number


def head_numbers(heads: Sequence[ShardHead]) -> dict[Lane, int]:
    """Return the number of the newest slice of each lane."""
    return {
        Lane(head.shard, partition): number
        for head in heads
        for partition, number in enumerate(head.slice_numbers)
    }


async def count_partitions(log: Log) -> int:
    """Return on how many partitions the events of customers fall. Errors: `Log.heads`."""
    return max(len(head.slice_numbers) for head in await log.heads())


def is_applied(event: UsageEvent, applied: Mapping[Lane, int], partition: int) -> bool:
    """Tell whether the slice of an event, of a customer of `partition`, is `applied`."""
    return event.moment.number <= applied.get(Lane(event.moment.shard, partition), 0)


def newest_applied(applied: Mapping[Lane, int], partition: int) -> int:
    """Return the number of the newest slice of a partition that is applied, 0 for none."""
    return max((applied[lane] for lane in applied if lane.partition == partition), default=0)


def applied_slices(
    events: Sequence[UsageEvent], applied: Mapping[Lane, int], partition: int
) -> list[Slice]:
    """Return those `events` of a customer of `partition` that are `applied`, as slices."""
    traceparent = headers().get("traceparent", "")
    slices = []
    counted = (event for event in events if is_applied(event, applied, partition))
    for (shard, number), part in groupby(counted, key=lambda e: (e.moment.shard, e.moment.number)):
        columns = columns_of(list(part))
        slices.append(Slice(shard, partition, number, 0, traceparent, columns))
    return slices


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
