"""Anniversaries: periods that begin on the day of the month on which a subscription began.

The bounds are counted from the first day, each by itself: from 31 January they are 28 February,
31 March, 30 April. A short month takes its last day, and does not drag those after it.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from functools import lru_cache

from libs.period import DayPeriod

MONTHS = 12


def anniversary(first_day: date, months: int) -> date:
    """Return the day that is `months` after `first_day`: 31 January and 1 month are 28 February."""
    year, month = divmod(first_day.year * MONTHS + first_day.month - 1 + months, MONTHS)
    last = monthrange(year, month + 1)[1]
    return date(year, month + 1, min(first_day.day, last))


@lru_cache(maxsize=4_096)  # The same few periods are those of many subscriptions.
def anniversary_period(first_day: date, every_months: int, day: date) -> DayPeriod:
    """Return the period that holds `day`, of those that begin every so many months.

    A bound opens a period: from 31 January by 3 months, 30 April is in the one up to 30 July.
    """
    passed = (day.year - first_day.year) * MONTHS + day.month - first_day.month
    count = passed // every_months
    if anniversary(first_day, count * every_months) > day:
        count -= 1
    bounds = (count * every_months, (count + 1) * every_months)
    return DayPeriod(*(anniversary(first_day, months) for months in bounds))
