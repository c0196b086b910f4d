"""Limits on metered use: the windows in which use counts, what is left, what is carried over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from libs.money import EXACT
from libs.period import DayPeriod, local_day, local_midnight

ZERO = Decimal(0)
DAY = timedelta(days=1)
WINDOWS_MAX = 25  # The present one, and those from which something is carried over to it.


class LimitKind(StrEnum):
    """Whether a limit refuses; values are those of the contract, in lower case."""

    HARD = "hard"
    SOFT = "soft"


class LimitReset(StrEnum):
    """When use is counted from zero again; values are those of the contract, in lower case."""

    USAGE_PERIOD = "usage_period"
    DAY = "day"
    MONTH = "month"


class Reason(StrEnum):
    """Why something is allowed or not; values are those of the contract, in lower case."""

    ENTITLED = "entitled"
    ABOVE_SOFT_LIMIT = "above_soft_limit"
    ABOVE_HARD_LIMIT = "above_hard_limit"
    NOT_ENTITLED = "not_entitled"
    NO_SUBSCRIPTION = "no_subscription"
    USAGE_NOT_KNOWN = "usage_not_known"


@dataclass(frozen=True, slots=True)
class Rollover:
    """Bounds of what is carried over at a reset."""

    minimum: Decimal
    maximum: Decimal


@dataclass(frozen=True, slots=True)
class Limit:
    """How many units may be used between two resets."""

    units: Decimal
    kind: LimitKind
    reset: LimitReset
    rollover: Rollover | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a limit is used; `used` None: that is not known."""

    limit: Limit
    rolled_over: Decimal
    used: Decimal | None
    resets_at: datetime

    @property
    def total(self) -> Decimal:
        """The units of the limit, with what was carried over."""
        return EXACT.add(self.limit.units, self.rolled_over)

    @property
    def left(self) -> Decimal:
        """What of them is left; nothing if use is not known."""
        if self.used is None:
            return ZERO
        return max(EXACT.subtract(self.total, self.used), ZERO)

    def decide(self, wanted: Decimal) -> tuple[bool, Reason]:
        """Return whether so many units more are allowed, and why."""
        soft = self.limit.kind is LimitKind.SOFT
        if self.used is None:
            return soft, Reason.USAGE_NOT_KNOWN
        if EXACT.add(self.used, wanted) <= self.total:
            return True, Reason.ENTITLED
        return soft, Reason.ABOVE_SOFT_LIMIT if soft else Reason.ABOVE_HARD_LIMIT


def rolled_over(limit: Limit, used_before: Sequence[Decimal]) -> Decimal:
    """Return what is carried over, from what was used in each window before, the oldest first.

    Of 100 units, at most 50 of them carried over: 80 used leave 20; then of 120 used 60 leave 60,
    of which 50 are carried over.
    """
    carried = ZERO
    if limit.rollover is None:
        return carried
    for used in used_before:
        left = EXACT.subtract(EXACT.add(limit.units, carried), used)
        carried = min(max(left, limit.rollover.minimum), limit.rollover.maximum)
    return carried


def day_windows(
    reset: LimitReset, zone: ZoneInfo, *, start: datetime, now: datetime, count: int
) -> list[DayPeriod]:
    """Return up to `count` days or months up to the present one, none before `start`, in order."""
    assert reset is not LimitReset.USAGE_PERIOD, "usage periods are stored"
    first = local_day(start, zone)
    found = [_holding(reset, local_day(now, zone))]
    while len(found) < count and found[-1].first_day > first:
        found.append(_holding(reset, found[-1].first_day - DAY))
    return found[::-1]


def resets_at(window: DayPeriod, zone: ZoneInfo) -> datetime:
    """Return the first instant after `window`."""
    return local_midnight(window.end_day, zone)


def _holding(reset: LimitReset, day: date) -> DayPeriod:
    if reset is LimitReset.DAY:
        return DayPeriod(day, day + DAY)
    first = day.replace(day=1)
    return DayPeriod(first, (first + 31 * DAY).replace(day=1))


@dataclass(frozen=True, slots=True)
class Checked:
    """What one subscription allows of a feature; without a standing its use is not limited."""

    subscription_id: str
    standing: Standing | None

    def decide(self, wanted: Decimal) -> tuple[bool, Reason]:
        """Return whether so many units are allowed, and why."""
        return (True, Reason.ENTITLED) if self.standing is None else self.standing.decide(wanted)


def most_generous(checked: Iterable[Checked], wanted: Decimal) -> Checked:
    """Return the one that allows most: at all, without a limit, then with most left."""

    def generosity(one: Checked) -> tuple[bool, bool, Decimal]:
        left = ZERO if one.standing is None else one.standing.left
        return one.decide(wanted)[0], one.standing is None, left

    return max(checked, key=generosity)
