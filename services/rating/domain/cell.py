"""Cells: the usage of one term, meter, local day and combination of dimension values.

A cell holds exact aggregates that merge in any order, and knows no prices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, assert_never
from uuid import UUID

from libs.money import EXACT
from services.rating.domain.event import Moment
from services.rating.domain.meter import Aggregation

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


@dataclass(slots=True)
class Cell:
    """Usage, growing while a batch of events is folded; only what its meter needs is set."""

    dimensions: tuple[str, ...] = ()
    event_count: int = 0
    total: Decimal | None = None
    greatest: Decimal | None = None
    latest: Decimal | None = None
    latest_moment: Moment | None = None
    values: dict[bytes, Operation] = field(default_factory=dict)  # By value_key.
    last_time: int = TIME_MIN  # Of its events.
    slice_number: int = 0  # Of the latest slice that changed it, and that slice's trace.
    traceparent: str = ""

    def add_number(self, aggregation: Aggregation, value: Decimal, moment: Moment) -> None:
        """Count an event with `value`."""
        self.event_count += 1
        if aggregation is Aggregation.SUM:
            self.total = value if self.total is None else EXACT.add(self.total, value)
        elif aggregation is Aggregation.MAX:
            self.greatest = value if self.greatest is None else max(self.greatest, value)
        elif aggregation is Aggregation.LATEST:
            if self.latest_moment is None or moment > self.latest_moment:
                self.latest, self.latest_moment = value, moment

    def add_value(self, key: bytes, operation: Operation) -> None:
        """Count an event that adds or removes a distinct value."""
        self.event_count += 1
        earlier = self.values.get(key)
        if earlier is None or operation.moment > earlier.moment:
            self.values[key] = operation

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
        if cell.total is not None:
            whole.total = EXACT.add(whole.total or ZERO, cell.total)
        if cell.greatest is not None:
            known = whole.greatest
            whole.greatest = cell.greatest if known is None else max(known, cell.greatest)
        if cell.latest_moment is not None:
            if whole.latest_moment is None or cell.latest_moment > whole.latest_moment:
                whole.latest, whole.latest_moment = cell.latest, cell.latest_moment
        for key, operation in cell.values.items():
            earlier = whole.values.get(key)
            if earlier is None or operation.moment > earlier.moment:
                whole.values[key] = operation
        whole.mark(cell.last_time, cell.slice_number, cell.traceparent)
    return whole


def units(cell: Cell, aggregation: Aggregation) -> Decimal:
    """Return the usage that `cell` holds, as its meter counts it.

    Without events it is 0, and so is a negative latest value.
    """
    match aggregation:
        case Aggregation.COUNT:
            return Decimal(cell.event_count)
        case Aggregation.SUM:
            return cell.total or ZERO
        case Aggregation.MAX:
            return cell.greatest or ZERO
        case Aggregation.LATEST:
            return max(cell.latest or ZERO, ZERO)
        case Aggregation.UNIQUE_COUNT:
            return Decimal(sum(operation.present for operation in cell.values.values()))
        case _:
            assert_never(aggregation)


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
