"""Usage of plans with long intervals, billed by the month.

The months have the anchor and billing time of the long periods, so that each of these is whole
months: from 31 October by the quarter to 31 January, through 30 November and 31 December.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime
from functools import partial

from libs.errors import FieldInvalid
from libs.period import DayPeriod, Period, local_midnight
from services.rating.domain.calendar import UNIT_MONTHS, Calendar, Stretch
from services.rating.domain.plan import Interval, IntervalUnit, PlanVersion, Timing

MONTH = Interval(IntervalUnit.MONTH)


def months_of(
    stretch: Stretch, months: Calendar, *, begin_of: Callable[[date], datetime] | None = None
) -> Iterator[Stretch]:
    """Give the months of a long `stretch`, which share its days and its usage.

    The day of a subscription's end has no month if it would begin one: there is no usage in it.
    `begin_of` tells when a day begins where the zone of `months` was not always that of the usage.
    """
    start, days = stretch.usage.start, stretch.fee_days
    used = stretch.usage_end_day or days.end_day
    whole = months.whole(days.first_day)
    while True:
        is_last = whole.end_day >= used
        begins = begin_of or partial(local_midnight, zone=months.zone)
        bound = max(start, begins(whole.end_day))
        end = stretch.usage.end if is_last else min(bound, stretch.usage.end)
        first_day = max(days.first_day, whole.first_day)
        own_days = DayPeriod(first_day, max(first_day, min(days.end_day, whole.end_day)))
        yield replace(
            stretch,
            whole=whole,
            fee_days=own_days,
            usage=Period(start, end),
            usage_end_day=min(used, whole.end_day),
            paused=_within(stretch.paused, own_days),
        )
        if is_last or end == stretch.usage.end:
            return
        start, whole = end, months.whole(whole.end_day)


def _within(paused: Iterable[DayPeriod], days: DayPeriod) -> tuple[DayPeriod, ...]:
    found = ((max(one.first_day, days.first_day), min(one.end_day, days.end_day)) for one in paused)
    return tuple(DayPeriod(first, end) for first, end in found if first < end)


def monthly_faults(version: PlanVersion) -> list[FieldInvalid]:
    """Return why usage of `version` cannot be billed by the month, if it is to be, by field.

    Months share no bounds with days and weeks; and a month cannot bill what is owed for all of a
    long period.
    """
    if not version.bill_usage_monthly:
        return []
    faults = []
    interval = version.interval
    if UNIT_MONTHS.get(interval.unit, 0) * interval.count <= 1:
        problem = f"needs an interval of several months, not of {interval}"
        faults.append(FieldInvalid("version.bill_usage_monthly", problem))
    if version.minimum_commitment is not None:
        problem = "cannot be where usage is billed by the month"
        faults.append(FieldInvalid("version.minimum_commitment", problem))
    for place, charge in enumerate(version.fixed_charges):
        if charge.timing is Timing.IN_ARREARS:
            problem = "must be in advance where usage is billed by the month"
            faults.append(FieldInvalid(f"version.fixed_charges[{place}].timing", problem))
    return faults
