"""The folder: takes the slices of its partitions in order and folds them into the cells.

NATS is only the fast path. What it loses shows as a gap between numbers, or in the heads that
ingest is asked for, and is streamed from the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing

from nats.aio.msg import Msg
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus import Subscribes
from libs.db import begin_worker
from libs.errors import DeadlineExceeded, Exhausted, Refused, Unavailable
from libs.worker import Loop, wait
from services.rating.domain.columns import Slice
from services.rating.domain.high_cardinality import CELLS_PER_DAY_MAX
from services.rating.events import IngestLog, read_slice
from services.rating.operations.folding import Catalogs, Fenced, fold_slices
from services.rating.operations.log import LOG_TRIMMED, head_numbers
from services.rating.store.applied import Lane, load_applied, open_lanes
from tally.ingest.v1 import events_pb2, segment_pb2

log = logging.getLogger(__name__)

SUBJECT = "tally.ingest.v1.SegmentSealed.>"
PASSING = (Unavailable, Exhausted, DeadlineExceeded)
# In one fold, where the slice that passes it is the last; and waiting in memory for the next one,
# where slices beyond it are dropped and streamed as a gap.
EVENTS_MAX = 100_000
EVENTS_ENOUGH = 20_000  # No pause before or after so many: more would share few cells more.
HEADS_SECONDS = 1.0  # How often ingest is asked for what NATS may have lost.
PAUSE_SECONDS_MIN = 0.05
PAUSE_FACTOR = 1  # A fold starts so many times the length of the last one after it.
RETRY_STOPPED_SECONDS = 30.0

STOPPED = Gauge(
    "tally_rating_lane_stopped",
    "1 while a slice of the lane cannot be folded: its usage is not billed until it can.",
    ["shard", "partition"],
)
LAG = Gauge("tally_rating_lag_segments", "Slices' distance to the head.", ["shard", "partition"])


class Folder:
    """Folds the lanes of `partitions` (None: all) for as long as its loop runs."""

    def __init__(
        self,
        worker: AsyncEngine,
        ingest: IngestLog,
        *,
        partitions: Collection[int] | None,
        folded: asyncio.Event,
        corrected: Callable[[], None],
        instant: Callable[[], None] = lambda: None,
        cells_per_day_max: int = CELLS_PER_DAY_MAX,
    ) -> None:
        self.loop = Loop("folder", self.step, poll_seconds=HEADS_SECONDS)
        self._worker = worker
        self._ingest = ingest
        self._partitions = partitions
        self._folded = folded  # Set after each fold: the calendar may wait for it.
        self._corrected = corrected  # Called after a fold that leaves jobs.
        self._instant = instant  # Called after one that may leave events to be priced singly.
        self._catalogs = Catalogs(cells_per_day_max=cells_per_day_max)
        self._positions: dict[Lane, int] = {}
        self._waiting: dict[Lane, dict[int, segment_pb2.Slice]] = {}
        self._waiting_events = 0
        self._enough = asyncio.Event()
        self._behind: set[Lane] = set()  # Lanes to catch up with in the next step.
        self._stopped: dict[Lane, float] = {}
        self._heads_at = 0.0  # When ingest was asked last; 0: ask now.
        self._resume_at = 0.0

    async def listen(self, nats: Subscribes) -> None:
        """Take slices from NATS as they are sealed."""
        await nats.subscribe(SUBJECT, cb=self._arrive)

    def ask(self) -> None:
        """Look at the heads of the log now."""
        self._heads_at = 0.0
        self.loop.kick()

    async def step(self) -> bool:
        """Fold what has come; True if there was anything."""
        await self._pause()
        gaps, self._behind = self._behind, set()
        batch = self._take_arrived(gaps)
        if not batch and self._asks_heads():
            gaps |= await self._find_behind()
        for lane in sorted(gaps):
            batch += await self._catch_up(lane, batch)
        readable = self._read(batch)
        if readable:
            started = time.monotonic()
            await self._fold(readable)
            ended = self._resume_at = time.monotonic()
            if sum(len(piece.columns) for piece in readable) < EVENTS_ENOUGH:
                self._resume_at += max(PAUSE_SECONDS_MIN, PAUSE_FACTOR * (ended - started))
            self._folded.set()
            if self._asks_heads():  # A lane's tail may be lost while others go on and on.
                self._behind = await self._find_behind()
        return bool(readable)

    async def _pause(self) -> None:
        """Let events gather for a while after a fold: those of one cell are written once."""
        seconds = self._resume_at - time.monotonic()
        if seconds > 0:
            await wait(self._enough, seconds)
        self._enough.clear()

    def _asks_heads(self) -> bool:
        return time.monotonic() - self._heads_at >= HEADS_SECONDS

    async def _arrive(self, message: Msg) -> None:
        piece = events_pb2.SegmentSealed.FromString(message.data).slice
        lane = Lane(piece.shard, piece.partition)
        if self._owns(lane) and self._waiting_events < EVENTS_MAX:
            self._waiting.setdefault(lane, {})[piece.number] = piece
            self._waiting_events += piece.event_count
            if self._waiting_events >= EVENTS_ENOUGH:
                self._enough.set()
            self.loop.kick()

    def _owns(self, lane: Lane) -> bool:
        return self._partitions is None or lane.partition in self._partitions

    def _take_arrived(self, gaps: set[Lane]) -> list[segment_pb2.Slice]:
        """Return the slices from NATS that come next; note the lanes in which one is missing."""
        taken: list[segment_pb2.Slice] = []
        arrived, self._waiting, self._waiting_events = self._waiting, {}, 0
        for lane, pieces in sorted(arrived.items()):
            if lane not in self._positions or self._is_stopped(lane):
                continue  # The heads will tell.
            position = self._positions[lane]
            for number in sorted(pieces):
                if number <= position:
                    continue
                if pieces[number].previous_number != position or not pieces[number].content:
                    gaps.add(lane)
                    break
                taken.append(pieces[number])
                position = number
        return taken

    async def _find_behind(self) -> set[Lane]:
        """Ask ingest for its heads; return the lanes that do not stand there."""
        heads = head_numbers(await self._ingest.heads())
        self._heads_at = time.monotonic()
        own = {lane: number for lane, number in heads.items() if self._owns(lane)}
        if own.keys() - self._positions.keys():
            async with begin_worker(self._worker) as conn:
                await open_lanes(conn, own)
                stored = await load_applied(conn)
            self._positions = {lane: stored[lane] for lane in own}
        for lane, number in own.items():
            LAG.labels(*lane).set(number - self._positions[lane])
        behind = {lane for lane, number in own.items() if number > self._positions[lane]}
        return {lane for lane in behind if not self._is_stopped(lane)}

    async def _catch_up(
        self, lane: Lane, batch: Sequence[segment_pb2.Slice]
    ) -> list[segment_pb2.Slice]:
        """Return the slices of `lane` that follow those in `batch`, from the log.

        Where ingest has dropped one of them the lane stops: its usage would lack them.
        """
        last = [piece.number for piece in batch if (piece.shard, piece.partition) == lane]
        position = max(last, default=self._positions[lane])
        events = sum(piece.event_count for piece in batch)
        found: list[segment_pb2.Slice] = []
        try:
            async with aclosing(self._ingest.slices(lane, after=position)) as pieces:
                async for piece in pieces:
                    found.append(piece)
                    events += piece.event_count
                    if events >= EVENTS_MAX:
                        self._heads_at = 0.0  # There may be more: ask again at once.
                        break
        except Refused as refused:
            if refused.reason != LOG_TRIMMED:
                raise
            self._stop(lane, position, refused)
        return found

    def _read(self, batch: Sequence[segment_pb2.Slice]) -> list[Slice]:
        """Return what `batch` holds, lane by lane up to the first slice that is unreadable."""
        readable: list[Slice] = []
        for message in batch:
            lane = Lane(message.shard, message.partition)
            if self._is_stopped(lane):
                continue
            try:
                readable.append(read_slice(message))
            except Exception as error:
                self._stop(lane, message.number, error)
        return readable

    async def _fold(self, slices: Sequence[Slice]) -> None:
        """Fold `slices`; if that fails, one by one, to find the one that cannot be folded."""
        try:
            after = await fold_slices(self._worker, self._catalogs, slices, self._positions)
        except PASSING:
            self._forget()
            raise
        except Fenced as fenced:
            log.warning("folding begins anew", extra={"reason": str(fenced)})
            self._forget()
        except Exception as error:
            if len(slices) == 1:
                self._stop(Lane(slices[0].shard, slices[0].partition), slices[0].number, error)
                return
            log.exception("a fold failed, its slices are folded one by one")
            for piece in slices:
                if self._can_take(piece):
                    await self._fold([piece])
        else:
            self._positions.update(after)
            if any(piece.corrections for piece in slices):
                self._corrected()
            if self._catalogs.has_instant:
                self._instant()
            for lane in after:
                if self._stopped.pop(lane, None) is not None:
                    STOPPED.labels(*lane).set(0)

    def _can_take(self, piece: Slice) -> bool:
        position = self._positions.get(Lane(piece.shard, piece.partition))
        return position == piece.previous_number

    def _forget(self) -> None:
        """Drop what is believed of the positions: the database knows."""
        self._positions = {}
        self._heads_at = 0.0

    def _is_stopped(self, lane: Lane) -> bool:
        return time.monotonic() < self._stopped.get(lane, 0)

    def _stop(self, lane: Lane, number: int, error: Exception) -> None:
        """Let nothing of `lane` pass this slice, and raise the alarm."""
        self._stopped[lane] = time.monotonic() + RETRY_STOPPED_SECONDS
        STOPPED.labels(*lane).set(1)
        log.critical(
            "a slice cannot be folded, its partition stands still",
            extra={**lane._asdict(), "number": number},
            exc_info=error,
        )
