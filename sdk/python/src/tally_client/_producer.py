"""A producer: events are recorded one by one, and sent as columns by threads of its own."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from datetime import datetime
from threading import Condition, Event, Lock, Thread, current_thread
from time import monotonic, time_ns
from types import TracebackType
from typing import Self
from weakref import WeakSet

from tally_client._backlog import Backlog, Batch
from tally_client._calls import Calls
from tally_client._event_rows import Amount, PropertyInput, check_size, read_event
from tally_client._producing import (
    CLOSED,
    NotSent,
    OnRejected,
    ProducerClosed,
    ProducerReport,
    ProducerSettings,
    Rejected,
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

FORKED = "the process was forked: each process makes producers of its own"
JOIN_SECONDS = 2.0


class Producer:
    """Records events one by one and sends them in batches, in the background.

    What is recorded is sent until it is answered, with the same ids, so that it is stored once
    whatever breaks in between. It can be shared between threads. At the interpreter's end it is
    closed; a forked process cannot use that of its parent, which goes on.
    """

    def __init__(
        self,
        calls: Calls,
        settings: ProducerSettings,
        deadline_seconds: float,
        on_rejected: OnRejected | None,
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._deadline_seconds = deadline_seconds
        self._on_rejected = on_rejected
        self._begin("")
        self._threads = [
            Thread(target=self._run, name="tally-producer", daemon=True)
            for _ in range(settings.in_flight_max)
        ]
        for thread in self._threads:
            thread.start()
        _OPEN.add(self)

    def _begin(self, closed: str) -> None:
        """Begin with nothing; also in a forked process, where anybody may have held the locks."""
        self._closed = closed  # Why nothing can be recorded, if so.
        self._backlog = Backlog(self._settings)
        self._ids = Uuid7()
        self._lock = Lock()
        self._work = Condition(self._lock)  # There is something to send, or soon will be.
        self._change = Condition(self._lock)  # A batch was answered, or failed; or it is the end.
        self._ended = Event()

    def record(
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
        with self._lock:
            if self._closed or not self._backlog.has_room(size):
                self._wait_for_room(size)
            if self._backlog.add(row, size, monotonic()):
                self._work.notify()
        return id

    def flush(self, timeout: float | None = None) -> None:
        """Send all that was recorded so far, and wait until it is answered.

        `timeout` is in seconds, by default `flush_seconds`.

        Raises:
            NotSent: that did not happen in time, or the suite refuses all events; they stay in
                the buffer.
            ProducerClosed: the producer was closed.
        """
        with self._lock:
            if self._closed:
                raise ProducerClosed(self._closed)
            if not self._send_all(timeout):
                raise NotSent(self._backlog.report().waiting, self._backlog.last_error)

    def close(self, timeout: float | None = None) -> None:
        """Take no more events, and wait as `flush` does. A second call does nothing.

        Raises:
            NotSent: with the events that are not known to be stored.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = CLOSED
            try:
                sent = self._send_all(timeout)
            finally:
                self._end()
            backlog = self._backlog
            failed = (
                None
                if sent
                else NotSent(backlog.report().waiting, backlog.last_error, backlog.unsent())
            )
        self._calls.close()
        for thread in self._threads:
            if thread is not current_thread():
                thread.join(JOIN_SECONDS)
        if failed:
            raise failed

    def report(self) -> ProducerReport:
        """Return what became of the events so far."""
        with self._lock:
            return self._backlog.report()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_for_room(self, size: int) -> None:
        deadline = monotonic() + self._settings.block_seconds
        while not self._closed:
            if self._backlog.has_room(size):
                return
            left = deadline - monotonic()
            if left <= 0:
                raise full_buffer(self._backlog.report(), self._settings)
            self._change.wait(left)
        raise ProducerClosed(self._closed)

    def _send_all(self, timeout: float | None) -> bool:
        """Wait until all that is recorded now is answered; return whether it is."""
        backlog = self._backlog
        deadline = monotonic() + (self._settings.flush_seconds if timeout is None else timeout)
        recorded, retried = backlog.recorded, backlog.retried
        backlog.cut()
        self._work.notify_all()
        while not backlog.is_settled(recorded):
            left = deadline - monotonic()
            if left <= 0 or self._ended.is_set() or backlog.is_refused(retried):
                return False
            self._change.wait(left)
        return True

    def _end(self) -> None:
        self._ended.set()
        self._work.notify_all()
        self._change.notify_all()
        _OPEN.discard(self)

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._send(batch)

    def _next(self) -> Batch | None:
        with self._lock:
            while not self._ended.is_set():
                now = monotonic()
                batch = self._backlog.take(now)
                wait = self._backlog.seconds_to_wait(now)
                if batch is not None:
                    if wait is not None:  # Another thread has to look after the rest.
                        self._work.notify()
                    return batch
                self._work.wait(wait)
        return None

    def _send(self, batch: Batch) -> None:
        """Send a batch until it is answered, or the producer ends."""
        request, attempt = request_of(batch), 0
        while not self._ended.is_set():
            attempt += 1
            try:
                answer = self._calls.attempt(
                    PATH, request, RecordColumnsResponse, self._deadline_seconds
                )
            except Exception as error:  # What gives tokens may raise anything.
                if is_bad(error):
                    return self._refuse(batch, rejected_with(error, batch))
                self._fail(error)
                self._ended.wait(pause_seconds(error, attempt))
            else:
                return self._settle(batch, answer, rejected_by(answer, batch))

    def _settle(self, batch: Batch, answer: RecordColumnsResponse, found: list[Rejected]) -> None:
        tell(self._on_rejected, found)
        with self._lock:
            self._backlog.settle(batch, answer, found)
            self._change.notify_all()

    def _refuse(self, batch: Batch, found: list[Rejected]) -> None:
        tell(self._on_rejected, found)
        with self._lock:
            self._backlog.refuse(batch, found)
            self._work.notify_all()
            self._change.notify_all()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            if not self._ended.is_set():  # Then it is the end that cancelled it.
                self._backlog.fail(error)
                self._change.notify_all()


_OPEN: WeakSet[Producer] = WeakSet()


def _close_all() -> None:
    for producer in list(_OPEN):
        try:
            producer.close()
        except NotSent as error:
            log.error("at the end of the process, %s", error)


def _leave_to_parent() -> None:
    for producer in list(_OPEN):
        producer._begin(FORKED)
        _OPEN.discard(producer)


atexit.register(_close_all)
os.register_at_fork(after_in_child=_leave_to_parent)
