"""A producer for asyncio: events are recorded one by one, and sent as columns by tasks."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from time import monotonic, time_ns
from types import TracebackType
from typing import Self

from tally_client._backlog import Backlog, Batch
from tally_client._calls import AsyncCalls
from tally_client._event_rows import Amount, PropertyInput, check_size, read_event
from tally_client._producing import (
    CLOSED,
    NotSent,
    OnRejected,
    ProducerClosed,
    ProducerReport,
    ProducerSettings,
    full_buffer,
)
from tally_client._sending import (
    NANOS_PER_MICRO,
    PATH,
    is_bad,
    log,
    pause_seconds,
    rejected_by,
    rejected_with,
    request_of,
    tell,
)
from tally_client._uuid7 import Uuid7
from tally_client.ingest.v1 import RecordColumnsResponse


class AsyncProducer:
    """As `Producer`, within the event loop in which the first event is recorded.

    At the interpreter's end there is no loop that could send anything: what waits then is logged.
    """

    def __init__(
        self,
        calls: AsyncCalls,
        settings: ProducerSettings,
        deadline_seconds: float,
        on_rejected: OnRejected | None,
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._deadline_seconds = deadline_seconds
        self._on_rejected = on_rejected
        self._backlog = Backlog(settings)
        self._ids = Uuid7()
        self._closed = ""  # Why nothing can be recorded, if so.
        self._tasks: list[asyncio.Task[None]] = []
        self._work = asyncio.Event()  # There is something to send, or soon will be.
        self._change = asyncio.Event()  # A batch was answered, or failed; or it is the end.

    async def record(
        self,
        *,
        type: str,
        customer_id: str,
        properties: Mapping[str, PropertyInput] | None = None,
        id: str = "",
        time: datetime | None = None,
        source: str = "",
        subscription_id: str = "",
        amount: Amount | None = None,
        hold_id: str = "",
    ) -> str:
        """Take an event to be sent; return its id.

        Without an id it gets a UUIDv7 and, if there is no time either, the time of now. One with
        an id and no time happens when it is received: recorded again, it is the same event.

        Raises:
            InvalidEvent: it cannot be sent as it is.
            BufferFull: there was no room for it within `block_seconds`.
            ProducerClosed: the producer takes no more events.
        """
        made_at = None
        if not id:
            id, made_at = self._ids.make(), time_ns() // NANOS_PER_MICRO
        texts = (id, source, type, customer_id, subscription_id, hold_id)
        row, size = read_event(texts, amount, time, properties, made_at)
        if size > self._settings.batch_bytes_max:
            check_size(size, self._settings.batch_bytes_max)
        if self._closed or not self._backlog.has_room(size):
            await self._wait_for_room(size)
        if not self._tasks:
            self._begin()
        if self._backlog.add(row, size, monotonic()):
            self._work.set()
        return id

    async def flush(self, timeout: float | None = None) -> None:
        """As `Producer.flush`."""
        if self._closed:
            raise ProducerClosed(self._closed)
        if not await self._send_all(timeout):
            raise NotSent(self._backlog.report().waiting, self._backlog.last_error)

    async def close(self, timeout: float | None = None) -> None:
        """As `Producer.close`."""
        if self._closed:
            return
        self._closed = CLOSED
        try:
            sent = await self._send_all(timeout)
        finally:
            for task in self._tasks:
                task.cancel()
            self._change.set()
            atexit.unregister(self._complain)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._calls.close()
        if not sent:
            backlog = self._backlog
            raise NotSent(backlog.report().waiting, backlog.last_error, backlog.unsent())

    def report(self) -> ProducerReport:
        """As `Producer.report`."""
        return self._backlog.report()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _begin(self) -> None:
        count = self._settings.in_flight_max
        self._tasks = [asyncio.create_task(self._run()) for _ in range(count)]
        atexit.register(self._complain)

    def _complain(self) -> None:
        if waiting := self._backlog.report().waiting:
            log.error("a producer was not closed: %d events are not known to be stored", waiting)

    async def _wait_for_room(self, size: int) -> None:
        deadline = monotonic() + self._settings.block_seconds
        while not self._closed:
            if self._backlog.has_room(size):
                return
            left = deadline - monotonic()
            if left <= 0:
                raise full_buffer(self._backlog.report(), self._settings)
            await _wait(self._change, left)
        raise ProducerClosed(self._closed)

    async def _send_all(self, timeout: float | None) -> bool:
        """Wait until all that is recorded now is answered; return whether it is."""
        backlog = self._backlog
        deadline = monotonic() + (self._settings.flush_seconds if timeout is None else timeout)
        recorded, retried = backlog.recorded, backlog.retried
        backlog.cut()
        self._work.set()
        while not backlog.is_settled(recorded):
            left = deadline - monotonic()
            if left <= 0 or backlog.is_refused(retried):
                return False
            await _wait(self._change, left)
        return True

    async def _run(self) -> None:
        while True:
            now = monotonic()
            batch = self._backlog.take(now)
            if batch is None:
                await _wait(self._work, self._backlog.seconds_to_wait(now))
            else:
                await self._send(batch)

    async def _send(self, batch: Batch) -> None:
        """Send a batch until it is answered."""
        request, attempt = request_of(batch), 0
        while True:
            attempt += 1
            try:
                answer = await self._calls.attempt(
                    PATH, request, RecordColumnsResponse, self._deadline_seconds
                )
            except Exception as error:  # What gives tokens may raise anything.
                if is_bad(error):
                    tell(self._on_rejected, found := rejected_with(error, batch))
                    self._backlog.refuse(batch, found)
                    self._work.set()
                    return self._change.set()
                self._backlog.fail(error)
                self._change.set()
                await asyncio.sleep(pause_seconds(error, attempt))
            else:
                tell(self._on_rejected, found := rejected_by(answer, batch))
                self._backlog.settle(batch, answer, found)
                return self._change.set()


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the next time that the event is set; at most so long."""
    event.clear()
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
