"""The load: a model provider's events, and what the usage of each customer must then be."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.rating.v1.meter_service_pb2 import Aggregation, Dimension, Meter

EVENT_TYPE = "completion"
START = datetime(2026, 3, 10, 12, tzinfo=UTC)  # Business time of the whole bench.
MINUTES = 30  # Over which the times of events are spread, before START.
MODELS = ("large", "small", "vision", "embedding")
REGIONS = ("eu-west", "us-east", "ap-south")
USERS = 20  # Of each customer.
BATCH_EVENTS = 1_000
DUPLICATES = 10  # In each batch: 1 %.


def _meter(
    code: str, aggregation: Aggregation.ValueType, value_property: str = "", *dimensions: str
) -> Meter:
    return Meter(
        code=code,
        event_type=EVENT_TYPE,
        aggregation=aggregation,
        value_property=value_property,
        dimensions=[Dimension(key=key) for key in dimensions],
    )


METERS = (
    _meter("requests", Aggregation.AGGREGATION_COUNT),
    _meter("tokens", Aggregation.AGGREGATION_SUM, "tokens", "model", "region"),
    _meter("seconds", Aggregation.AGGREGATION_SUM, "seconds", "model"),
    _meter("slowest", Aggregation.AGGREGATION_MAX, "seconds"),
    _meter("users", Aggregation.AGGREGATION_UNIQUE_COUNT, "user"),
)


def customer(number: int) -> str:
    """Return the id of a customer."""
    return f"customer-{number:05}"


@dataclass(slots=True)
class Usage:
    """What a customer used, as the generator counts it."""

    requests: int = 0
    tokens: Decimal = Decimal(0)
    seconds: Decimal = Decimal(0)
    slowest: Decimal = Decimal(0)
    users: set[str] = field(default_factory=set)

    def add(self, *, tokens: Decimal, seconds: Decimal, user: str) -> None:
        """Count one event."""
        self.requests += 1
        self.tokens += tokens
        self.seconds += seconds
        self.slowest = max(self.slowest, seconds)
        self.users.add(user)

    def units(self) -> dict[str, Decimal]:
        """Return the units of each meter, by its code."""
        return {
            "requests": Decimal(self.requests),
            "tokens": self.tokens,
            "seconds": self.seconds,
            "slowest": self.slowest,
            "users": Decimal(len(self.users)),
        }


@dataclass(slots=True)
class Workload:
    """Makes batches of events of `customers` customers, always the same ones from one `seed`."""

    customers: int
    seed: int
    now: datetime = START  # The latest time of its events.
    usage: defaultdict[str, Usage] = field(default_factory=lambda: defaultdict(Usage))
    sent: int = 0  # Events, without repeats.
    _random: random.Random = field(init=False)
    _recent: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def batches(self, count: int, *, duplicates: int = DUPLICATES) -> list[bytes]:
        """Return serialized requests of 1,000 events, 10 of which were sent before."""
        return [self.batch(BATCH_EVENTS, duplicates) for _ in range(count)]

    def batch(self, events: int, duplicates: int = 0, *, of: str = "") -> bytes:
        """Return a serialized request; all of its events are of the customer `of`, if given."""
        repeated = min(duplicates, len(self._recent))
        fresh = [self._event(of) for _ in range(events - repeated)]
        again = self._random.sample(self._recent, repeated)
        self._recent = [*self._recent[-BATCH_EVENTS:], *fresh[:100]]
        mixed: Sequence[Event] = [*fresh, *again]
        if again:
            mixed = self._random.sample(mixed, len(mixed))
        return RecordEventsRequest(events=mixed).SerializeToString()

    def _event(self, of: str) -> Event:
        rng = self._random
        self.sent += 1
        who = of or customer(rng.randrange(self.customers))
        model, region = rng.choice(MODELS), rng.choice(REGIONS)
        tokens = str(rng.randrange(20, 8_000))
        seconds = f"{rng.randrange(40, 30_000)}e-3" if rng.random() < 0.1 else _seconds(rng)
        user = f"{who}-user-{rng.randrange(USERS)}"
        event = Event(id=self._uuid7(), type=EVENT_TYPE, customer_id=who)
        event.time.CopyFrom(timestamp(self.now))
        event.time.seconds -= rng.randrange(MINUTES * 60)
        event.time.nanos = rng.randrange(1_000_000) * 1_000
        properties = event.properties
        properties["model"].text, properties["region"].text = model, region
        properties["tokens"].decimal, properties["seconds"].decimal = tokens, seconds
        properties["user"].text = user
        self.usage[who].add(tokens=Decimal(tokens), seconds=Decimal(seconds), user=user)
        return event

    def _uuid7(self) -> str:
        """Return a UUIDv7 of about now: ids made a moment apart come in about their order."""
        millis = 1_773_000_000_000 + self.seed * 10_000_000 + self.sent // 20
        content = bytearray(millis.to_bytes(6, "big") + self._random.randbytes(10))
        content[6] = 0x70 | content[6] & 0x0F
        content[8] = 0x80 | content[8] & 0x3F
        return str(UUID(bytes=bytes(content)))


def _seconds(rng: random.Random) -> str:
    return f"{rng.randrange(30)}.{rng.randrange(1_000):03}"
