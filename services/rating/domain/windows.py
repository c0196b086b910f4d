"""Windows of time: the hours, days or periods that usage is shown for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import numpy as np

from libs.errors import FieldInvalid
from libs.period import Period, local_day, local_midnight
from services.rating.domain.columns import Ints, ints
from services.rating.domain.event import micros

WINDOWS_MAX = 10_000
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
# No day of any zone that lies between them begins or ends outside of what can be written.
EARLIEST, LATEST = datetime(1, 1, 5, tzinfo=UTC), datetime(9999, 12, 25, tzinfo=UTC)
FIRST_ORDINAL = 1  # Days as ordinals begin with it.


class Window(StrEnum):
    """What the windows are; values are those of the contract, in lower case."""

    HOUR = "hour"
    DAY = "day"
    PERIOD = "period"


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows in their order, of which none overlap."""

    periods: Sequence[Period]
    _starts: Ints = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = ints(micros(each.start) for each in self.periods)
        object.__setattr__(self, "_starts", starts)

    @property
    def whole(self) -> Period | None:
        """The time from the first window's start to the last one's end; None without any."""
        if not self.periods:
            return None
        return Period(self.periods[0].start, self.periods[-1].end)

    def find(self, instant: datetime) -> int | None:
        """Return the place of the window that holds `instant`."""
        place = int(np.searchsorted(self._starts, micros(instant), side="right")) - 1
        return place if place >= 0 and instant in self.periods[place] else None

    def ordinals(self, times: Ints, zone: ZoneInfo) -> Ints:
        """Return the windows of `times`, all within `whole`, in place of local days.

        The first window has the ordinal 1. For `folding.fold`, which need not know that what it
        parts the time into are no days.
        """
        return np.searchsorted(self._starts, times, side="right") - 1 + FIRST_ORDINAL


def make_windows(window: Window, zone: ZoneInfo, asked: Period) -> Windows:
    """Return the hours or days in `zone` that lie in `asked`, those at its ends cut.

    From 10:30 to the next day's 01:00 there are 15 hours, of which the first is half an hour, and
    two days. Hours lie within one day each; where the clock changes within one, it is in two.

    Raises:
        FieldInvalid: there are more than 10,000 of them; it names the field `end`.
    """
    step = HOUR if window is Window.HOUR else DAY
    if asked.end - asked.start > WINDOWS_MAX * step:
        problem = f"is so late that there are more than {WINDOWS_MAX} windows"
        raise FieldInvalid("end", problem)
    periods = []
    start = asked.start
    while start < asked.end:
        end = local_midnight(local_day(start, zone) + DAY, zone)
        if window is Window.HOUR:
            end = min(end, _next_hour(start, zone))
        periods.append(Period(start, min(end, asked.end)))
        start = end
    return Windows(periods)


def cut_windows(periods: Iterable[Period], asked: Period) -> Windows:
    """Return the parts of `periods` that lie in `asked`, in their order."""
    cut = (
        Period(max(each.start, asked.start), min(each.end, asked.end))
        for each in periods
        if each.overlaps(asked)
    )
    return Windows(sorted(cut, key=lambda each: each.start))


def _next_hour(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clock hand that stands where it does at `instant` points to 12 next."""
    local = instant.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return instant + HOUR - past
