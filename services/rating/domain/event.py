"""Usage events and slices of the log, as rating reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

PropertyValue = str | Decimal | bool


class Moment(NamedTuple):
    """Where an event stands among all: by time, then by its place in the log."""

    time: int  # Microseconds since 1970 in UTC.
    shard: int
    number: int  # Of the segment.
    place: int  # In the segment.


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One event of the log; texts that the client left out are "".

    Its identity, `source` and `id`, is known where it was listed, and not of events of slices.
    """

    tenant: int
    customer_id: str
    subscription_id: str
    type: str
    moment: Moment
    properties: Mapping[str, PropertyValue]
    amount: Decimal | None = None  # Currency units that the event itself says it costs.
    source: str = field(default="", compare=False)
    id: str = field(default="", compare=False)


class LogPlace(NamedTuple):
    """Where an event was recorded: a shard, the number of a segment, the place there."""

    shard: int
    number: int
    place: int


@dataclass(frozen=True, slots=True)
class Correction:
    """What a partition loses and gains by a correction of the event recorded at `at`.

    It loses what counted for a customer at a time, in microseconds since 1970; None: nothing.
    """

    tenant: int
    at: LogPlace
    removed: tuple[str, int] | None
    added: UsageEvent | None

    def affected(self) -> list[tuple[str, int]]:
        """Return the customers whose usage changes, each with a time from which it does."""
        found = [] if self.removed is None else [self.removed]
        if self.added is not None:
            found.append((self.added.customer_id, self.added.moment.time))
        return found


@dataclass(frozen=True, slots=True)
class ShardHead:
    """How far a shard of the log has come.

    Every event acknowledged before `through` is in its slices up to `slice_numbers`, which are by
    partition.
    """

    shard: int
    through: datetime
    slice_numbers: tuple[int, ...]


def micros(instant: datetime) -> int:
    """Return microseconds since 1970 in UTC, exactly."""
    return (instant - EPOCH) // MICROSECOND


def instant_of(time: int) -> datetime:
    """Return the instant of microseconds since 1970 in UTC."""
    return EPOCH + timedelta(microseconds=time)
