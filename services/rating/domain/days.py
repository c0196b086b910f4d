"""The local days of many instants."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from libs.period import local_midnight
from services.rating.domain.columns import Ints, ints
from services.rating.domain.event import EPOCH, micros

DAY_MICROS = 86_400_000_000
EPOCH_DAY = EPOCH.date().toordinal()
# Behind the first one: its midnight may lie before all that can be written.
FIRST_DAY, LAST_DAY = 2, date.max.toordinal()


def utc_days(times: Ints) -> Ints:
    """Return the days in UTC, as ordinals, of `times` in microseconds since 1970."""
    return times // DAY_MICROS + EPOCH_DAY


def local_days(times: Ints, zone: ZoneInfo) -> Ints:
    """Return the days in `zone` as `libs.period.local_day` has them, as ordinals."""
    of_utc = np.unique(utc_days(times)).tolist()
    # No zone is more than a day away from UTC.
    near = sorted({day + step for day in of_utc for step in (-1, 0, 1)})
    days = [day for day in near if FIRST_DAY <= day <= LAST_DAY]
    midnights = ints(_midnight(day, zone) for day in days)
    return ints(days)[np.searchsorted(midnights, times, side="right") - 1]


@lru_cache(maxsize=16_384)
def _midnight(day: int, zone: ZoneInfo) -> int:
    return micros(local_midnight(date.fromordinal(day), zone))
