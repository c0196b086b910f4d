"""How many days lie between two instants: by blocks of 24 hours, or by dates.

Both count by the clock on the wall of a zone, so that a change of the clock neither adds nor
takes a day, and both take the last instant, not the first one after it: of a period that is half
open, that is the last microsecond before its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from libs.period import DayPeriod, local_day, local_midnight

DAY = timedelta(days=1)


def days_between(first: datetime, last: datetime, zone: ZoneInfo) -> int:
    """Return the blocks of 24 hours that have started between `first` and `last`.

    They start at the time of day of `first`: from 01:10 on 1 September to 00:59:59 on 1 October
    are 30. A `last` that is the midnight of its day stands for that whole day: from 1 December
    00:00 to 7 December 00:00 are 7.
    """
    day = local_day(last, zone)
    to = last.astimezone(zone).replace(tzinfo=None)
    if last == local_midnight(day, zone):
        to = datetime.combine(day, time.min) + DAY
    return -((first.astimezone(zone).replace(tzinfo=None) - to) // DAY)


def unpaused_days(first_day: date, end_day: date, paused: Iterable[DayPeriod]) -> int:
    """Return the days from `first_day` to before `end_day` that lie in none of `paused`.

    None if they end before they begin.
    """
    days = max((end_day - first_day).days, 0)
    overlaps = (
        (min(each.end_day, end_day) - max(each.first_day, first_day)).days for each in paused
    )
    return days - sum(max(each, 0) for each in overlaps) if days else 0


def days_touched(first: datetime, last: datetime, zone: ZoneInfo) -> int:
    """Return the local days from that of `first` to that of `last`, both included.

    From 01:10 on 1 September to 00:59:59 on 1 October are 31.
    """
    return (local_day(last, zone) - local_day(first, zone)).days + 1
