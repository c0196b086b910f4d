"""What producers are told, what they tell, and what they raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tally_client.ingest.v1 import Event

EVENTS_MAX = 10_000  # Of a request.
CLOSED = "the producer is closed"
BYTES_MAX = 4 * 1024 * 1024  # Half of what a request may have: sizes are estimates.


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """How a producer buffers and sends. Sizes of events are estimates, in bytes.

    Raises:
        ValueError: a setting out of its bounds.
    """

    batch_events_max: int = 5_000  # Up to 10,000.
    batch_bytes_max: int = 1024 * 1024  # Up to 4 MiB; the most that one event may have, too.
    linger_seconds: float = 0.05  # How long a batch waits for more events.
    in_flight_max: int = 4  # How many batches are sent at once.
    buffer_events_max: int = 50_000  # Those that are being sent included; as the next.
    buffer_bytes_max: int = 64 * 1024 * 1024
    block_seconds: float = 5.0  # How long `record` waits at most while the buffer is full.
    flush_seconds: float = 30.0  # How long `flush` and `close` wait, unless they are told.

    def __post_init__(self) -> None:
        bounds = (
            ("batch_events_max", 1, EVENTS_MAX),
            ("batch_bytes_max", 1, BYTES_MAX),
            ("linger_seconds", 0, float("inf")),
            ("in_flight_max", 1, 64),
            ("buffer_events_max", self.batch_events_max, float("inf")),
            ("buffer_bytes_max", self.batch_bytes_max, float("inf")),
            ("block_seconds", 0, float("inf")),
            ("flush_seconds", 0, float("inf")),
        )
        faults = [
            f"{name} is {getattr(self, name)}, from {least} to {most} is allowed"
            for name, least, most in bounds
            if not least <= getattr(self, name) <= most
        ]
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that is not stored, and never will be as it is. The suite keeps it as rejected."""

    index: int  # How many events the producer had recorded before it.
    id: str
    source: str
    verdict: str  # REJECTED, or CONFLICT if its identity is taken by an event of other content.
    reason: str  # "TIME_TOO_OLD"; as tally.ingest.v1.RejectionReason has them.
    field: str  # "properties.model", "time".
    detail: str  # The same for people.


OnRejected = Callable[[Rejected], object]


@dataclass(frozen=True, slots=True)
class ProducerReport:
    """What became of a producer's events: recorded = accepted + duplicates + rejected + waiting."""

    recorded: int = 0
    accepted: int = 0  # Stored for the first time.
    duplicates: int = 0  # Stored before; by a batch whose answer was lost, too.
    rejected: int = 0
    waiting: int = 0  # Not sent yet, or not answered.
    retried: int = 0  # How often a batch was sent again, apart from what gRPC did itself.
    rejections: tuple[Rejected, ...] = field(default=(), repr=False)  # The last 1,000.
    last_error: Exception | None = None  # Why batches fail now; None: they do not.


class ProducerError(Exception):
    """What a producer raises, apart from `InvalidEvent`."""


class BufferFull(ProducerError):
    """The event was not recorded: the buffer was full for `block_seconds`."""


class ProducerClosed(ProducerError):
    """The event was not recorded: the producer is closed, or belongs to another process."""


class NotSent(ProducerError):
    """Events could not be sent in time, or the suite refuses them all.

    Attributes:
        waiting: how many.
        error: why sending failed the last time; None if it did not.
        events: those of a closed producer, to record them otherwise. Some may be stored: record
            them with the ids that they have. Empty if the producer goes on sending them.
    """

    def __init__(
        self, waiting: int, error: Exception | None, events: tuple[Event, ...] = ()
    ) -> None:
        why = f": {error}" if error else ""
        super().__init__(f"{waiting} events are not known to be stored{why}")
        self.waiting = waiting
        self.error = error
        self.events = events


def full_buffer(report: ProducerReport, settings: ProducerSettings) -> BufferFull:
    """Return the error of an event for which there was no room."""
    why = f"; sending fails: {report.last_error}" if report.last_error else ""
    error = BufferFull(
        f"the buffer was full for {settings.block_seconds:g} s: {report.waiting} events wait{why}"
    )
    error.__cause__ = report.last_error
    return error
