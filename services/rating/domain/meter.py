"""Meters: what is counted, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from libs.errors import AlreadyExists, FieldInvalid, InvalidInput, NotFound

DIMENSIONS_MAX = 8
DIMENSION_VALUES_MAX = 1_000


class MeterNotFound(NotFound):
    """The tenant has no such meter."""

    reason = "METER_NOT_FOUND"


class MeterCodeTaken(AlreadyExists):
    """Another meter has the code."""

    reason = "METER_CODE_TAKEN"


class MeterUnknown(InvalidInput):
    """A charge names a meter that does not exist."""

    reason = "METER_UNKNOWN"


class Aggregation(StrEnum):
    """How events become usage; values are those of the contract, in lower case."""

    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    LATEST = "latest"
    UNIQUE_COUNT = "unique_count"


@dataclass(frozen=True, slots=True)
class Dimension:
    """A property that charges may filter by; `values` may be a closed list, () is any."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts the events of `event_type`."""

    meter_id: UUID
    code: str
    name: str
    event_type: str
    aggregation: Aggregation
    value_property: str  # "" for COUNT only.
    dimensions: tuple[Dimension, ...]
    created_at: datetime

    def dimension(self, key: str) -> Dimension | None:
        """Return the dimension named `key`, if the meter has it."""
        return next((dimension for dimension in self.dimensions if dimension.key == key), None)


def meter_faults(meter: Meter, path: str) -> list[FieldInvalid]:
    """Return every rule that `meter` breaks, by field."""
    faults = []
    counts = meter.aggregation is Aggregation.COUNT
    if counts and meter.value_property:
        faults.append(FieldInvalid(f"{path}.value_property", "COUNT takes none"))
    if not counts and not meter.value_property:
        faults.append(FieldInvalid(f"{path}.value_property", "is missing"))
    if len(meter.dimensions) > DIMENSIONS_MAX:
        problem = f"are {len(meter.dimensions)}, at most {DIMENSIONS_MAX} are allowed"
        faults.append(FieldInvalid(f"{path}.dimensions", problem))
    keys = [dimension.key for dimension in meter.dimensions]
    faults += repeats(keys, path + ".dimensions[{}].key")
    for place, dimension in enumerate(meter.dimensions):
        at = f"{path}.dimensions[{place}].values"
        if len(dimension.values) > DIMENSION_VALUES_MAX:
            problem = f"are {len(dimension.values)}, at most {DIMENSION_VALUES_MAX} are allowed"
            faults.append(FieldInvalid(at, problem))
        faults += repeats(dimension.values, at + "[{}]")
    return faults


def repeats(values: Sequence[str], path: str) -> list[FieldInvalid]:
    """Return a fault for each of `values` that came before; "{}" in `path` is its place."""
    first: dict[str, int] = {}
    faults = []
    for place, value in enumerate(values):
        if first.setdefault(value, place) != place:
            faults.append(FieldInvalid(path.format(place), f"{value[:50]!r} is there twice"))
    return faults
