"""A producer's events, from being recorded to being answered, and what became of them.

Nothing here waits, or locks: that is for the producers.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from tally_client._error import TallyError
from tally_client._event_rows import Row
from tally_client._packing import event_of
from tally_client._producing import ProducerReport, ProducerSettings, Rejected
from tally_client.ingest.v1 import Event, RecordColumnsResponse

REJECTIONS_KEPT = 1_000
# With these another attempt may go better. With others, somebody has to do something about it.
PASSING = {
    "UNAVAILABLE",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "CANCELLED",
    "INTERNAL",
    "UNKNOWN",
}
log = logging.getLogger("tally_client")


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are sent together; `first` of the producer's events were recorded before."""

    first: int
    rows: list[Row]
    size: int


class Backlog:
    """Events that are not answered yet, in the order in which they were recorded."""

    def __init__(self, settings: ProducerSettings) -> None:
        self.recorded = self.settled = self.retried = 0
        self.last_error: Exception | None = None
        self._settings = settings
        self._accepted = self._duplicates = self._rejected = self._size = 0
        self._rejections: deque[Rejected] = deque(maxlen=REJECTIONS_KEPT)
        self._open: list[Row] = []
        self._open_size = 0
        self._open_until = 0.0
        self._ready: deque[Batch] = deque()
        self._unanswered: dict[int, Batch] = {}  # By `first`: those that are ready, or sent.

    def has_room(self, size: int) -> bool:
        """Tell whether an event of that size may be added now."""
        waiting = self.recorded - self.settled
        settings = self._settings
        return not waiting or (
            waiting < settings.buffer_events_max and self._size + size <= settings.buffer_bytes_max
        )

    def add(self, row: Row, size: int, now: float) -> bool:
        """Add an event; return whether there is something new to wait for, or to send."""
        settings = self._settings
        if self._open_size + size > settings.batch_bytes_max:
            self.cut()
        began = not self._open
        if began:
            self._open_until = now + settings.linger_seconds
        self._open.append(row)
        self._open_size += size
        self._size += size
        self.recorded += 1
        if len(self._open) == settings.batch_events_max:
            self.cut()
            return True
        return began

    def cut(self) -> None:
        """Let the open batch be sent, whatever it holds."""
        if self._open:
            first = self.recorded - len(self._open)
            self._put(Batch(first, self._open, self._open_size))
            self._open, self._open_size = [], 0

    def take(self, now: float) -> Batch | None:
        """Return the next batch to send, if there is one."""
        if not self._ready and self._open and now >= self._open_until:
            self.cut()
        return self._ready.popleft() if self._ready else None

    def seconds_to_wait(self, now: float) -> float | None:
        """Return after how long there is a batch to send; None if there is no event."""
        if self._ready:
            return 0
        return max(self._open_until - now, 0) if self._open else None

    def settle(self, batch: Batch, response: RecordColumnsResponse, found: list[Rejected]) -> None:
        """Take note of an answer; `found` are its rejected events."""
        self.last_error = None
        self._accepted += response.accepted_count
        self._duplicates += response.duplicate_count
        self._end(batch, found)

    def refuse(self, batch: Batch, found: list[Rejected]) -> None:
        """Take note that a batch can never be sent as it is.

        It is halved, until the event at fault is alone: that one is rejected, it is in `found`.
        """
        if found:
            return self._end(batch, found)
        del self._unanswered[batch.first]
        middle = len(batch.rows) // 2
        share = batch.size // 2
        self._put(Batch(batch.first, batch.rows[:middle], share))
        self._put(Batch(batch.first + middle, batch.rows[middle:], batch.size - share))

    def fail(self, error: Exception) -> None:
        """Take note that a batch will be sent again, and why."""
        if self.last_error is None:
            log.warning("events cannot be stored now, and are sent again: %s", error)
        self.last_error = error
        self.retried += 1

    def is_settled(self, recorded: int) -> bool:
        """Tell whether the first `recorded` events are answered; the open batch must be cut."""
        return all(first >= recorded for first in self._unanswered)

    def is_refused(self, retried: int) -> bool:
        """Tell whether one of the failures after the first `retried` will not pass by itself."""
        error = self.last_error
        return (
            self.retried > retried and isinstance(error, TallyError) and error.code not in PASSING
        )

    def unsent(self) -> tuple[Event, ...]:
        """Return all events that are not answered."""
        batches = [self._unanswered[first] for first in sorted(self._unanswered)]
        rows = [row for batch in batches for row in batch.rows] + self._open
        return tuple(event_of(row) for row in rows)

    def report(self) -> ProducerReport:
        """Return how things stand."""
        return ProducerReport(
            recorded=self.recorded,
            accepted=self._accepted,
            duplicates=self._duplicates,
            rejected=self._rejected,
            waiting=self.recorded - self.settled,
            retried=self.retried,
            rejections=tuple(self._rejections),
            last_error=self.last_error,
        )

    def _put(self, batch: Batch) -> None:
        self._unanswered[batch.first] = batch
        self._ready.append(batch)

    def _end(self, batch: Batch, found: list[Rejected]) -> None:
        del self._unanswered[batch.first]
        self.settled += len(batch.rows)
        self._size -= batch.size
        self._rejected += len(found)
        self._rejections.extend(found)
