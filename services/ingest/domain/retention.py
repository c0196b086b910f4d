"""How long keys and the log are kept, and what is refused because of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from libs.errors import Refused
from libs.planes import from_planes
from services.ingest.domain.candidates import Candidates
from services.ingest.domain.columns import INT32, INT64, UINT8, UINT32, Columns, read_ids
from services.ingest.domain.identity import event_key
from services.ingest.domain.validation import Reason, Rejection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# Usage is billed from events as old as the floor, by periods of up to a month that began before
# it: what rating may read again must be in the log so much longer than events are taken.
LOG_BEYOND_FLOOR_DAYS = 100
# When a segment is this much older than the floor, so are nearly all of its events. The keys of
# those that are not, because they were dated ahead, stay.
PRUNED_BELOW_FLOOR = timedelta(days=1)


class LogTrimmed(Refused):
    """Some of the events that are asked for are no longer in the log."""

    reason = "LOG_TRIMMED"


class EventTooOld(Refused):
    """The event happened before the floor: it cannot be corrected any more."""

    reason = "EVENT_TOO_OLD"


@dataclass(frozen=True, slots=True)
class Ages:
    """After how many days keys are pruned and months of the log are dropped; 0: never."""

    keys_days: int
    log_days: int

    def floor(self, now: datetime) -> datetime | None:
        """Return the instant before which events are not taken any more, a midnight in UTC.

        It moves once a day: whoever is sealing when it does has to judge anew.
        """
        days = self.keys_days or max(self.log_days - LOG_BEYOND_FLOOR_DAYS, 0)
        if not days:
            return None
        floor = now.astimezone(UTC) - timedelta(days=days)
        return floor.replace(hour=0, minute=0, second=0, microsecond=0)

    def prunes_before(self, now: datetime) -> datetime | None:
        """Return before which sealing the keys of a segment are to be pruned; None: never."""
        floor = self.floor(now)
        return floor - PRUNED_BELOW_FLOOR if floor is not None and self.keys_days else None

    def drops(self, sealed_at: datetime, now: datetime) -> bool:
        """Tell whether the month in which a segment was sealed is to be dropped."""
        if not self.log_days:
            return False
        return month_of(sealed_at).end <= now - timedelta(days=self.log_days)


@dataclass(frozen=True, slots=True)
class Month:
    """A month in UTC, `end` excluded."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        """Return its name, as in 2026-01."""
        return f"{self.start:%Y-%m}"


def month_of(instant: datetime) -> Month:
    """Return the month of an instant."""
    day = instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = day.replace(day=1)
    return Month(start, (start + timedelta(days=31)).replace(day=1))


def find_fault_below(time: int, floor: datetime | None) -> Rejection | None:
    """Return why an event of `time`, in microseconds since 1970, is too old; None if it is not."""
    if floor is None or time >= _micros(floor):
        return None
    happened = EPOCH + time * MICROSECOND
    detail = f"time is {happened.isoformat()}, events before {floor.isoformat()} are not taken"
    return Rejection(Reason.TIME_TOO_OLD, "time", detail)


def refuse_below(candidates: Candidates, floor: datetime | None) -> Candidates:
    """Return `candidates` of which every event before `floor` is at fault.

    Those that nothing else is wrong with become TIME_TOO_OLD, whether they are stored or not: of
    such events it is not known any more.
    """
    if floor is None:
        return candidates
    older = np.flatnonzero(candidates.times < _micros(floor)).tolist()
    faults = {
        row: fault
        for row in older
        if row not in candidates.faults
        and (fault := find_fault_below(int(candidates.times[row]), floor)) is not None
    }
    return replace(candidates, faults=candidates.faults | faults) if faults else candidates


def check_above(time: int, floor: datetime | None) -> None:
    """Check that a stored event of `time` may still be corrected.

    Raises:
        EventTooOld: it happened before `floor`.
    """
    if (fault := find_fault_below(time, floor)) is not None:
        raise EventTooOld(fault.detail)


def find_identities_below(
    columns: Columns, floor: datetime, key_secret: bytes
) -> list[tuple[int, bytes]]:
    """Return tenant and key of the events of a slice that name a time before `floor`, sorted.

    One without a time is left out: sent again it would be as young as then, and taken.
    """
    given = from_planes(columns.times_given, UINT8) == 1
    old = given & (from_planes(columns.times, INT64) < _micros(floor))
    rows = np.flatnonzero(old).tolist()
    tenants = from_planes(columns.tenants, INT32).tolist()
    sources = from_planes(columns.sources, UINT32).tolist()
    strings, ids = columns.strings, read_ids(columns)
    return sorted(
        (tenants[row], event_key(strings[sources[row]], ids[row], key_secret)) for row in rows
    )


def _micros(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND
