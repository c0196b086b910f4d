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
from services.rating.events import IngestLog
from services.rating.loops.portions import lane_of, portions_of, read_all
from services.rating.operations.folding import Catalogs, Fenced, fold_slices
from services.rating.operations.log import LOG_TRIMMED, head_numbers
from services.rating.store.applied import Lane, load_applied, open_lanes
from tally.ingest.v1 import events_pb2, segment_pb2

log = logging.getLogger(__name__)

SUBJECT = "tally.ingest.v1.SegmentSealed.>"
PASSING = (Unavailable, Exhausted, DeadlineExceeded)
# In one step, where the slice that passes either is the last; and waiting in memory for the next
# one, where slices beyond it are dropped and streamed as a gap. The more events are folded at once,
# the fewer rows each of them costs: of ten thousand customers 2.2 at 100,000, and 0.75 at 500,000.
EVENTS_MAX = 1_000_000
BYTES_MAX = 32 * 1024 * 1024  # Of content, compressed.
EVENTS_ENOUGH = 200_000  # So many wait for nothing.
HEADS_SECONDS = 1.0  # How often ingest is asked for what NATS may have lost.
# A fold starts so many times the length of the last one after it, or as soon as nothing has come
# for a while: usage is to be seen soon. One of many events is late as it is; then rows are saved.
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX, PAUSE_FACTOR = 0.05, 1.0, 1
MANY_EVENTS, MANY_SECONDS_MAX, MANY_FACTOR = 20_000, 4.0, 3
QUIET_SECONDS = 0.05
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
        noted: Callable[[], None] = lambda: None,
        cells_per_day_max: int = CELLS_PER_DAY_MAX,
    ) -> None:
        self.loop = Loop("folder", self.step, poll_seconds=HEADS_SECONDS)
        self._worker = worker
        self._ingest = ingest
        self._partitions = partitions
        self._folded = folded  # Set after each fold: the calendar may wait for it.
        self._corrected = corrected  # Called after a fold that leaves jobs.
        self._instant = instant  # Called after one that may leave events to be priced singly.
        self._noted = noted  # Called after one that may leave notes of watched usage.
        self._catalogs = Catalogs(cells_per_day_max=cells_per_day_max)
        self._positions: dict[Lane, int] = {}
        self._waiting: dict[Lane, dict[int, segment_pb2.Slice]] = {}
        self._waiting_events = self._waiting_bytes = 0
        self._arrived_at = 0.0  # When the last of them came.
        self._enough = asyncio.Event()
        self._behind: set[Lane] = set()  # Lanes to catch up with in the next step.
        self._stopped: dict[Lane, float] = {}
        self._heads_at = 0.0  # When ingest was asked last; 0: ask now.
        self._folded_at = self._resume_at = 0.0

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
        started = time.monotonic()
        folded = [await self._fold_portion(portion) for portion in portions_of(batch)]
        if any(folded):
            events = sum(piece.event_count for piece in batch)
            self._rest(time.monotonic() - started, events=events)
            self._folded.set()
            if self._asks_heads():  # A lane's tail may be lost while others go on and on.
                self._behind = await self._find_behind()
        return any(folded)

    async def _pause(self) -> None:
        """Let events gather for a while after a fold: those of one cell are written once."""
        is_behind = self._behind or not self._heads_at  # There is more in the log.
        while not self._enough.is_set() and not is_behind:
            now = time.monotonic()
            quiet_at = max(self._arrived_at, self._folded_at) + QUIET_SECONDS
            seconds = min(self._resume_at, quiet_at) - now
            if seconds <= 0:
                break
            await wait(self._enough, seconds)
        self._enough.clear()

    def _rest(self, seconds: float, *, events: int) -> None:
        """Note that a step has ended that took so long for so many events."""
        self._folded_at = time.monotonic()
        pause = min(max(PAUSE_SECONDS_MIN, PAUSE_FACTOR * seconds), PAUSE_SECONDS_MAX)
        if events >= MANY_EVENTS:
            pause = min(MANY_FACTOR * seconds, MANY_SECONDS_MAX)
        self._resume_at = self._folded_at + pause

    def _asks_heads(self) -> bool:
        return time.monotonic() - self._heads_at >= HEADS_SECONDS

    async def _arrive(self, message: Msg) -> None:
        piece = events_pb2.SegmentSealed.FromString(message.data).slice
        lane = lane_of(piece)
        is_full = self._waiting_events >= EVENTS_MAX or self._waiting_bytes >= BYTES_MAX
        if self._owns(lane) and not is_full:
            self._waiting.setdefault(lane, {})[piece.number] = piece
            self._waiting_events += piece.event_count
            self._waiting_bytes += len(piece.content)
            self._arrived_at = time.monotonic()
            if self._waiting_events >= EVENTS_ENOUGH or self._waiting_bytes >= BYTES_MAX:
                self._enough.set()
            self.loop.kick()

    def _owns(self, lane: Lane) -> bool:
        return self._partitions is None or lane.partition in self._partitions

    def _take_arrived(self, gaps: set[Lane]) -> list[segment_pb2.Slice]:
        """Return the slices from NATS that come next; note the lanes in which one is missing."""
        taken: list[segment_pb2.Slice] = []
        arrived, self._waiting = self._waiting, {}
        self._waiting_events = self._waiting_bytes = 0
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
        last = [piece.number for piece in batch if lane_of(piece) == lane]
        position = max(last, default=self._positions[lane])
        events = sum(piece.event_count for piece in batch)
        size = sum(len(piece.content) for piece in batch)
        found: list[segment_pb2.Slice] = []
        try:
            async with aclosing(self._ingest.slices(lane, after=position)) as pieces:
                async for piece in pieces:
                    found.append(piece)
                    events += piece.event_count
                    size += len(piece.content)
                    if events >= EVENTS_MAX or size >= BYTES_MAX:
                        self._heads_at = 0.0  # There may be more: ask again at once.
                        break
        except Refused as refused:
            if refused.reason != LOG_TRIMMED:
                raise
            self._stop(lane, position, refused)
        return found

    async def _fold_portion(self, portion: Sequence[segment_pb2.Slice]) -> bool:
        """Fold what of `portion` follows on what was folded; True if there was anything."""
        readable = await self._read(
            [piece for piece in portion if lane_of(piece) in self._positions]
        )  # Another portion may have found that they are not known any more.
        if readable:
            await self._fold(readable)
        return bool(readable)

    async def _read(self, batch: Sequence[segment_pb2.Slice]) -> list[Slice]:
        """Return what `batch` holds, lane by lane up to the first slice that is unreadable."""
        taken = [piece for piece in batch if not self._is_stopped(lane_of(piece))]
        # In a thread, so that RPCs are answered and slices taken meanwhile.
        readable, broken = await asyncio.to_thread(read_all, taken)
        for lane, (number, error) in broken.items():
            self._stop(lane, number, error)
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
            if self._catalogs.has_watched:
                self._noted()
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
