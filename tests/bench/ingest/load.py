"""The load: a model provider's events in arrays, as requests of either form, and what they count.

No two events are alike: ids, times, amounts and a trace differ from event to event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from tally.ingest.v1.bulk_pb2 import RecordColumnsRequest
from tally.ingest.v1.event_columns_pb2 import (
    DecimalValues,
    EventColumns,
    FlagValues,
    PropertyValues,
    TextValues,
)
from tally.ingest.v1.event_pb2 import Event
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tests.bench.workload import EVENT_TYPE, MINUTES, START, customer

Ints = NDArray[np.int64]

MODELS = tuple(f"model-{number}" for number in range(4))
REGIONS = ("eu-west", "us-east", "ap-south")
ROUTES = tuple(f"/v1/route/{number}" for number in range(40))
USERS = 20  # Of each customer.
DUPLICATE_SHARE = 0.01
START_US = int(START.timestamp()) * 1_000_000
MILLI = Decimal("0.001")

EVENT = np.dtype(
    [
        ("customer", np.int64),
        ("time", np.int64),
        ("model", np.int64),
        ("region", np.int64),
        ("route", np.int64),
        ("tokens", np.int64),
        ("millis", np.int64),
        ("user", np.int64),
        ("trace", np.int64),
        ("cached", np.bool_),
    ]
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events: what varies in `events`, one of `EVENT` a row; `fresh` of them are not repeats."""

    ids: Sequence[str]
    events: NDArray[np.void]
    fresh: int

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> RecordEventsRequest:
        """Return the events one by one."""
        return RecordEventsRequest(events=self._each())

    def _each(self) -> Iterator[Event]:
        for event_id, one in zip(self.ids, self.events.tolist(), strict=True):
            who, time, model, region, route, tokens, millis, user, trace, cached = one
            event = Event(id=event_id, type=EVENT_TYPE, customer_id=customer(who))
            event.time.FromMicroseconds(time)
            properties = event.properties
            properties["model"].text, properties["region"].text = MODELS[model], REGIONS[region]
            properties["route"].text, properties["trace"].text = ROUTES[route], f"{trace:016x}"
            properties["tokens"].decimal = str(tokens)
            properties["seconds"].decimal = f"{millis // 1_000}.{millis % 1_000:03}"
            properties["user"].text = _user(who, user)
            properties["cached"].flag = cached
            yield event

    def columns(self) -> RecordColumnsRequest:
        """Return the same events as columns."""
        events, texts = self.events, _Texts()
        users = events["customer"] * USERS + events["user"]
        properties = [
            PropertyValues(key="model", texts=texts.values(events["model"], MODELS.__getitem__)),
            PropertyValues(key="region", texts=texts.values(events["region"], REGIONS.__getitem__)),
            PropertyValues(key="route", texts=texts.values(events["route"], ROUTES.__getitem__)),
            PropertyValues(key="trace", texts=texts.values(events["trace"], "{:016x}".format)),
            PropertyValues(
                key="user", texts=texts.values(users, lambda one: _user(*divmod(one, USERS)))
            ),
            PropertyValues(
                key="tokens", decimals=DecimalValues(mantissas=events["tokens"].tolist())
            ),
            PropertyValues(
                key="seconds",
                decimals=DecimalValues(mantissas=events["millis"].tolist(), exponents=[-3]),
            ),
            PropertyValues(key="cached", flags=FlagValues(flags=events["cached"].tolist())),
        ]
        customers = texts.values(events["customer"], customer).places
        columns = EventColumns(
            ids=self.ids,
            types=[texts.place(EVENT_TYPE)],
            customer_ids=customers,
            times=events["time"].tolist(),
            properties=properties,
        )
        columns.texts.extend(texts.known)
        return RecordColumnsRequest(columns=columns)


class _Texts:
    """The texts of a batch of columns by their places; the first is ""."""

    def __init__(self) -> None:
        self.known = {"": 0}

    def place(self, text: str) -> int:
        return self.known.setdefault(text, len(self.known))

    def values(self, codes: Ints, text_of: object) -> TextValues:
        distinct, rows = np.unique(codes, return_inverse=True)
        assert callable(text_of)
        places = np.array([self.place(text_of(code)) for code in distinct.tolist()])
        return TextValues(places=places[rows].tolist())


@dataclass(slots=True)
class Load:
    """Makes batches of events of `customers` customers, the same ones from one `seed`."""

    customers: int
    seed: int
    sent: int = 0  # Events, without repeats.
    counts: Ints = field(init=False)
    tokens: Ints = field(init=False)
    millis: Ints = field(init=False)
    slowest: Ints = field(init=False)
    users: NDArray[np.bool_] = field(init=False)
    _random: np.random.Generator = field(init=False)
    _before: Batch | None = None

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        zeros = np.zeros(self.customers, np.int64)
        self.counts, self.tokens, self.millis, self.slowest = (zeros.copy() for _ in range(4))
        self.users = np.zeros((self.customers, USERS), np.bool_)

    def batch(self, count: int, *, ordered: bool = True) -> Batch:
        """Return a batch of `count` events, a hundredth of which were in the batch before.

        Ids are UUIDv7, or random if not `ordered`.
        """
        before = self._before
        repeated = 0 if before is None else min(round(count * DUPLICATE_SHARE), before.fresh)
        fresh = self._fresh(count - repeated, ordered=ordered)
        self._count(fresh.events)
        self._before = fresh
        if before is None or not repeated:
            return fresh
        again = self._random.choice(before.fresh, repeated, replace=False)
        events = np.concatenate([fresh.events, before.events[again]])
        ids = [*fresh.ids, *(before.ids[place] for place in again.tolist())]
        order = self._random.permutation(count)
        return Batch([ids[place] for place in order.tolist()], events[order], len(fresh))

    def expected(self, number: int) -> dict[str, Decimal]:
        """Return the units of each meter of a customer, by its code."""
        return {
            "requests": Decimal(int(self.counts[number])),
            "tokens": Decimal(int(self.tokens[number])),
            "seconds": int(self.millis[number]) * MILLI,
            "slowest": int(self.slowest[number]) * MILLI,
            "users": Decimal(int(self.users[number].sum())),
        }

    def one(self, number: int) -> Batch:
        """Return a batch of one new event of a customer."""
        alone = self._fresh(1, ordered=True)
        alone.events["customer"] = number
        self._count(alone.events)
        return alone

    def _fresh(self, count: int, *, ordered: bool) -> Batch:
        rng = self._random
        events = np.zeros(count, EVENT)
        events["customer"] = rng.integers(self.customers, size=count)
        events["time"] = START_US - rng.integers(MINUTES * 60 * 1_000_000, size=count)
        for name, size in (("model", len(MODELS)), ("region", len(REGIONS)), ("user", USERS)):
            events[name] = rng.integers(size, size=count)
        events["route"] = rng.integers(len(ROUTES), size=count)
        events["tokens"] = rng.integers(20, 8_000, size=count)
        events["millis"] = rng.integers(40, 30_000, size=count)
        events["trace"] = rng.integers(2**62, size=count)
        events["cached"] = rng.random(count) < 0.3
        return Batch(self._ids(count, ordered=ordered), events, count)

    def _ids(self, count: int, *, ordered: bool) -> list[str]:
        content = self._random.integers(256, size=(count, 16), dtype=np.uint8)
        version = 0x70 if ordered else 0x40
        if ordered:  # Ids made a moment apart come in about their order.
            millis = 1_773_000_000_000 + self.seed * 100_000_000
            times = (millis + (self.sent + np.arange(count)) // 20).astype(">i8")
            content[:, :6] = times.view(np.uint8).reshape(count, 8)[:, 2:]
        content[:, 6] = version | content[:, 6] & 0x0F
        content[:, 8] = 0x80 | content[:, 8] & 0x3F
        self.sent += count
        digits = content.tobytes().hex()
        return [_dashed(digits[at : at + 32]) for at in range(0, 32 * count, 32)]

    def _count(self, events: NDArray[np.void]) -> None:
        who = events["customer"]
        np.add.at(self.counts, who, 1)
        np.add.at(self.tokens, who, events["tokens"])
        np.add.at(self.millis, who, events["millis"])
        np.maximum.at(self.slowest, who, events["millis"])
        self.users[who, events["user"]] = True


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _user(who: int, number: int) -> str:
    return f"{customer(who)}-user-{number}"
