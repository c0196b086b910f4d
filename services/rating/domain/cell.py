"""Cells: the usage of one term, meter, local day and combination of dimension values.

A cell holds exact aggregates that merge in any order, and knows no prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from libs.money import EXACT
from services.rating.domain.event import Moment

ZERO = Decimal(0)
HASH_BYTES = 16
KEPT_CHARACTERS_MAX = 512  # Of values whose key is remembered; they may have a KiB each.
TIME_MIN = -(2**63)


class CellKey(NamedTuple):
    """What a cell is about; tuples of it sort in the order in which rows are locked."""

    tenant: int
    term_id: UUID
    meter_id: UUID
    day: date
    dimensions_key: bytes


class Operation(NamedTuple):
    """The last thing that happened to a distinct value."""

    moment: Moment
    present: bool  # False: it was removed.


class Presence(NamedTuple):
    """What became of a distinct value in a cell: by the last operation on it, at `moment`.

    `added` is the first moment at which it was added; None if it never was, or where the meter
    does not recur.
    """

    moment: Moment
    present: bool
    added: Moment | None = None


class Level(NamedTuple):
    """What the level of a WEIGHTED_SUM was set to."""

    moment: Moment
    value: Decimal


@dataclass(slots=True)
class Cell:
    """Usage, growing while a batch of events is folded; only what its meter needs is set."""

    dimensions: tuple[str, ...] = ()
    event_count: int = 0
    total: Decimal | None = None
    greatest: Decimal | None = None
    latest: Decimal | None = None
    latest_moment: Moment | None = None
    values: dict[bytes, Presence] = field(default_factory=dict)  # By value_key.
    last_time: int = TIME_MIN  # Of its events.
    slice_number: int = 0  # Of the latest slice that changed it, and that slice's trace.
    traceparent: str = ""
    least: Decimal | None = None
    weighted: Decimal | None = None  # Sum of value x time, in microseconds since 1970.
    levels: dict[int, Level] | None = None  # By time; of equal times, the last in the log.
    counts: dict[Decimal, int] | None = None  # How many events have the value.
    amount: Decimal | None = None  # Sum of the events' own amounts; None if none has any.
    day: date | None = None  # Where it was read from the store.
    in_log: bool = False  # It stands for a whole day, whose usage is to be read from the log.
    days: tuple[Cell, ...] = ()  # Of a whole period, where its days count each for itself.

    def add_value(self, key: bytes, presence: Presence) -> None:
        """Keep the last operation on a distinct value, and when it was added first."""
        known = self.values.get(key)
        self.values[key] = presence if known is None else both(known, presence)

    def add_level(self, level: Level) -> None:
        """Keep the last level of an instant."""
        if self.levels is None:
            self.levels = {}
        earlier = self.levels.get(level.moment.time)
        if earlier is None or level.moment > earlier.moment:
            self.levels[level.moment.time] = level

    def add_counts(self, counts: Mapping[Decimal, int]) -> None:
        """Count events by their values."""
        known = {} if self.counts is None else self.counts
        for value, count in counts.items():
            known[value] = known.get(value, 0) + count
        self.counts = known

    def mark(self, last_time: int, slice_number: int, traceparent: str) -> None:
        """Note the time of an event, and the latest slice that changed the cell."""
        self.last_time = max(self.last_time, last_time)
        if slice_number >= self.slice_number:
            self.slice_number, self.traceparent = slice_number, traceparent


def merged(cells: Iterable[Cell]) -> Cell:
    """Return one cell with the usage of all `cells` of a meter, in whatever order they come."""
    whole = Cell()
    for cell in cells:
        whole.event_count += cell.event_count
        _merge_numbers(whole, cell)
        for key, presence in cell.values.items():
            whole.add_value(key, presence)
        if cell.levels is not None:
            for level in cell.levels.values():
                whole.add_level(level)
        if cell.counts is not None:
            whole.add_counts(cell.counts)
        whole.mark(cell.last_time, cell.slice_number, cell.traceparent)
        whole.in_log |= cell.in_log
    return whole


def _merge_numbers(whole: Cell, cell: Cell) -> None:
    """Merge what is one number each into `whole`."""
    whole.total = added(whole.total, cell.total)
    whole.weighted = added(whole.weighted, cell.weighted)
    whole.amount = added(whole.amount, cell.amount)
    if cell.greatest is not None:
        known = whole.greatest
        whole.greatest = cell.greatest if known is None else max(known, cell.greatest)
    if cell.least is not None:
        known = whole.least
        whole.least = cell.least if known is None else min(known, cell.least)
    if cell.latest_moment is not None:
        if whole.latest_moment is None or cell.latest_moment > whole.latest_moment:
            whole.latest, whole.latest_moment = cell.latest, cell.latest_moment


def both(one: Presence, other: Presence) -> Presence:
    """Return what became of a value by the operations of both, in whatever order they came."""
    later = one if one.moment > other.moment else other
    added = one.added
    if added is None or (other.added is not None and other.added < added):
        added = other.added
    return later if later.added == added else later._replace(added=added)


def part_count(cell: Cell) -> int:
    """Return how many rows of their own the parts of `cell` take."""
    return len(cell.values) + len(cell.levels or ()) + len(cell.counts or ())


def added(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Return the sum, exactly; None where there is nothing."""
    if one is None or other is None:
        return other if one is None else one
    return EXACT.add(one, other)


def dimensions_key(dimensions: tuple[str, ...]) -> bytes:
    """Return 128 bits that stand for a combination of dimension values."""
    kept = sum(map(len, dimensions)) <= KEPT_CHARACTERS_MAX
    return _known_key(dimensions) if kept else _key_of(dimensions)


def _key_of(dimensions: tuple[str, ...]) -> bytes:
    digest = blake2b(digest_size=HASH_BYTES)
    for value in dimensions:
        text = value.encode()
        digest.update(len(text).to_bytes(4, "big"))  # So that ("ab", "") is not ("a", "b").
        digest.update(text)
    return digest.digest()


_known_key = lru_cache(maxsize=65_536)(_key_of)


def value_key(value: str) -> bytes:
    """Return 128 bits that stand for a distinct value."""
    return _known_value_key(value) if len(value) <= KEPT_CHARACTERS_MAX else _value_key_of(value)


def _value_key_of(value: str) -> bytes:
    return blake2b(value.encode(), digest_size=HASH_BYTES).digest()


_known_value_key = lru_cache(maxsize=65_536)(_value_key_of)
