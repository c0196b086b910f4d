"""Streams of batches: read ahead within bounds, recorded side by side, acknowledged in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from libs.errors import Exhausted, Unavailable
from libs.tenant import Tenant
from libs.worker import wait
from services.ingest.domain.candidates import Submission
from services.ingest.operations import metrics
from services.ingest.operations.admission import RETRY_SECONDS, Load, Shares
from services.ingest.operations.recording import Recorded, Recorder, load_of

# Of one stream, without an answer. A group and one for each sealer: enough to keep ingest busy.
STREAM_EVENTS_MAX = 40_000
STREAM_BYTES_MAX = 8 * 1024 * 1024
STREAMS_MAX = 256  # Of one process.

Read = Callable[[], Awaitable[Submission | None]]  # Gives the next batch, None after the last.
Answer = Callable[[Sequence[Recorded]], Awaitable[None]]  # Acknowledges the next batches.


class TooManyStreams(Exhausted):
    """The tenant has its part of the streams that a process takes."""

    reason = "TOO_MANY_STREAMS"


class Streams:
    """The streams of a process. Each ends when it is `seconds_max` old, or at `stopping`.

    A producer that stayed for ever would never find the processes that were added since.
    """

    def __init__(self, recorder: Recorder, stopping: asyncio.Event, *, seconds_max: float) -> None:
        self._recorder = recorder
        self._stopping = stopping
        self._seconds_max = seconds_max
        self._open = Shares(STREAMS_MAX)

    def enter(self, tenant: Tenant) -> None:
        """Count a stream; it counts until it has left.

        Raises:
            TooManyStreams: the tenant has as many as are left for all others.
        """
        if not self._open.fits(tenant, 1):
            raise TooManyStreams(
                f"of {STREAMS_MAX} streams of the process {self._open.taken} are open, "
                f"too many of them of this tenant; come again in {RETRY_SECONDS:g} s",
                retry_after=RETRY_SECONDS,
            )
        self._open.take(tenant, 1)
        metrics.STREAMS.set(self._open.taken)

    def leave(self, tenant: Tenant) -> None:
        """Count a stream no more."""
        self._open.give_back(tenant, 1)
        metrics.STREAMS.set(self._open.taken)

    async def record(self, read: Read, answer: Answer) -> None:
        """Record what `read` gives, and hand what is durable to `answer`, until no more comes.

        An error of `read`, or of a batch, is raised when all batches before it were answered.

        Raises:
            Unavailable: the outcome of a batch is not known, or the stream has ended for its age,
                or because the process stops.
        """
        over = asyncio.create_task(wait(self._stopping, self._seconds_max), name="stream's end")
        stream = _Stream(self._recorder, read)
        over.add_done_callback(lambda _: stream.reading.cancel())
        try:
            await stream.answer_all(answer)
        finally:
            over.cancel()
            stream.give_up()


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int
    tenant: Tenant
    load: Load
    recorded: asyncio.Future[Recorded]


class _Stream:
    """A stream: its batches in flight, those read and not answered, in order."""

    def __init__(self, recorder: Recorder, read: Read) -> None:
        self._recorder = recorder
        self._read = read
        self._in_flight: deque[_Batch] = deque()
        self._count = 0
        self._events = 0
        self._bytes = 0
        self._news = asyncio.Event()  # A batch is recorded, or the last one is read.
        self._room = asyncio.Event()
        self.reading = asyncio.create_task(self._read_all(), name="stream's reader")
        self.reading.add_done_callback(self._read_last)

    async def answer_all(self, answer: Answer) -> None:
        """Hand what is durable to `answer`, as much at a time as there is."""
        while self._in_flight or not self.reading.done():
            await self._news.wait()
            self._news.clear()
            durable = self._find_durable()
            if durable:
                await answer([batch.recorded.result() for batch in durable])
                self._forget(durable)
            elif self._in_flight and self._in_flight[0].recorded.done():
                raise _failure(self._in_flight[0])
        if self.reading.cancelled():
            raise Unavailable("the stream is over: go on with another one")
        self.reading.result()  # Raises what is wrong with the batch after the last.

    def give_up(self) -> None:
        """Read no more, and forget each batch in flight when it is recorded."""
        self.reading.cancel()
        for batch in self._in_flight:
            batch.recorded.add_done_callback(partial(self._leave, batch))

    async def _read_all(self) -> None:
        while await self._read_next():
            while self._events >= STREAM_EVENTS_MAX or self._bytes >= STREAM_BYTES_MAX:
                self._room.clear()
                await self._room.wait()

    async def _read_next(self) -> bool:
        """Read a batch and submit it. Here it is in a variable, and not while one is waited for."""
        submission = await self._read()
        if submission is None:
            return False
        tenant, load = submission.rules.tenant, load_of(submission)
        await self._recorder.admission.enter_later(tenant, load)
        recorded = self._recorder.queue(submission)
        recorded.add_done_callback(lambda _: self._news.set())
        self._count += 1
        self._in_flight.append(_Batch(self._count, tenant, load, recorded))
        self._events += load.events
        self._bytes += load.bytes
        return True

    def _read_last(self, reading: asyncio.Task[None]) -> None:
        if not reading.cancelled():
            reading.exception()  # Looked at, though an earlier batch may end the stream.
        self._news.set()

    def _find_durable(self) -> list[_Batch]:
        """Return the first batches in flight, as far as they are recorded."""
        durable = []
        for batch in self._in_flight:
            if not batch.recorded.done() or batch.recorded.exception() is not None:
                break
            durable.append(batch)
        return durable

    def _forget(self, answered: Sequence[_Batch]) -> None:
        """Make room. Only now: what is not answered takes memory, durable or not."""
        for batch in answered:
            self._in_flight.popleft()
            self._leave(batch)
            self._events -= batch.load.events
            self._bytes -= batch.load.bytes
        self._news.set()  # Behind them may be one that failed.
        self._room.set()

    def _leave(self, batch: _Batch, _: object = None) -> None:
        self._recorder.admission.leave(batch.tenant, batch.load)


def _failure(batch: _Batch) -> BaseException:
    """Return why a batch was not recorded."""
    error = batch.recorded.exception()
    assert error is not None
    if isinstance(error, Unavailable):  # Others of its group have the same one.
        return Unavailable(str(error), metadata={"batch_number": str(batch.number)})
    return error
