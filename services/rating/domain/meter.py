"""Meters: what is counted, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from libs.errors import AlreadyExists, FieldInvalid, InvalidInput, NotFound, Refused
from services.rating.domain.rounding import Rounding


class MeterNotFound(NotFound):
    """The tenant has no such meter."""

    reason = "METER_NOT_FOUND"


class MeterCodeTaken(AlreadyExists):
    """Another meter has the code."""

    reason = "METER_CODE_TAKEN"


class MeterUnknown(InvalidInput):
    """A charge names a meter that does not exist."""

    reason = "METER_UNKNOWN"


class MeterInUse(Refused):
    """Plan versions charge the meter, so what it counts may not change."""

    reason = "METER_IN_USE"


class MeterArchived(Refused):
    """The meter is archived: new plan versions may not charge it."""

    reason = "METER_ARCHIVED"


class Aggregation(StrEnum):
    """How events become usage; values are those of the contract, in lower case."""

    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    LATEST = "latest"
    UNIQUE_COUNT = "unique_count"
    MIN = "min"
    AVG = "avg"
    WEIGHTED_SUM = "weighted_sum"
    PERCENTILE = "percentile"


class ValueInput(StrEnum):
    """What the values of a WEIGHTED_SUM are."""

    DELTA = "delta"  # By how much the level rises, or falls.
    LEVEL = "level"  # The level from then on.


class DayBucket(StrEnum):
    """How the results of the local days of a period become one."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Dimension:
    """A property that charges may filter by; `values` may be a closed list, () is any."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts the events of `event_type`, by the value of a property or of an expression."""

    meter_id: UUID
    code: str
    name: str
    event_type: str
    aggregation: Aggregation
    value_property: str  # "" for COUNT, and where there is an expression.
    dimensions: tuple[Dimension, ...]
    created_at: datetime
    expression: str = ""
    rounding: Rounding | None = None  # Of the usage of a period, for each bucket.
    value_input: ValueInput | None = None  # Of WEIGHTED_SUM only.
    percentile: int = 0  # Of PERCENTILE only: 50, 90, 95 or 99.
    recurring: bool = False  # The level at the end of a period carries over to the next.
    day_bucket: DayBucket | None = None  # Days are aggregated first, each for itself.
    archived_at: datetime | None = None
    fan_out: bool = False  # Events count for every subscription that is charged for it.
    changed_at: datetime | None = None  # When it last became one that counts something else.

    @property
    def counts_from(self) -> datetime:
        """When its usage begins."""
        return self.changed_at or self.created_at

    def dimension(self, key: str) -> Dimension | None:
        """Return the dimension named `key`, if the meter has it."""
        return next((dimension for dimension in self.dimensions if dimension.key == key), None)


def repeats(values: Sequence[str], path: str) -> list[FieldInvalid]:
    """Return a fault for each of `values` that came before; "{}" in `path` is its place."""
    first: dict[str, int] = {}
    faults = []
    for place, value in enumerate(values):
        if first.setdefault(value, place) != place:
            faults.append(FieldInvalid(path.format(place), f"{value[:50]!r} is there twice"))
    return faults
