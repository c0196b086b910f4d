"""Trials: the days of a subscription for which the base fee costs nothing.

A trial begins with the first start of the subscription's id, and is as long as the present plan
says. It ends at an instant; the local day of that instant is the first one that costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from libs.period import DayPeriod, Period, local_day, local_midnight
from services.rating.domain.calendar import Stretch

TRIAL_DAYS_MAX = 3_650


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial that ends at the instant `end`, in `zone`."""

    end: datetime
    zone: ZoneInfo

    @property
    def day(self) -> date:
        """The local day on which it ends: the first one that costs."""
        return local_day(self.end, self.zone)


def trial_of(first_start: datetime, trial_days: int, zone: ZoneInfo) -> Trial | None:
    """Return the trial of a subscription id that started first at `first_start`; None: none."""
    return Trial(first_start + timedelta(days=trial_days), zone) if trial_days else None


def charged(stretch: Stretch, trial: Trial | None) -> Stretch | None:
    """Return what of `stretch` the base fee is charged for, None if it is nothing.

    From 5 March 12:12 on with 10 days of trial, March is charged from the 15th on: 17 of 31 days.
    What ends within its period on the day on which the trial ended is charged nothing for that day.
    """
    if trial is None or trial.day <= stretch.whole.first_day:
        return stretch
    days, usage = stretch.fee_days, stretch.usage
    if trial.day >= days.end_day or _ends_on(stretch, trial):
        return None
    if trial.day <= days.first_day:
        return stretch
    starts = max(usage.start, local_midnight(trial.day, trial.zone))
    paused = (DayPeriod(max(one.first_day, trial.day), one.end_day) for one in stretch.paused)
    return replace(
        stretch,
        fee_days=DayPeriod(trial.day, days.end_day),
        usage=Period(min(starts, usage.end), usage.end),
        paused=tuple(one for one in paused if one.days > 0),
    )


def due_ahead(stretch: Stretch, trial: Trial | None, *, due_at: datetime) -> datetime:
    """Return when a base fee in advance is due that would be at `due_at` without a trial.

    That is when the trial ends, if that is within the period. On the day on which the period begins
    the trial does not matter any more.
    """
    if trial is None or trial.day <= stretch.fee_days.first_day:
        return due_at
    return max(due_at, trial.end)


def _ends_on(stretch: Stretch, trial: Trial) -> bool:
    """Tell whether what is billed was cut on the day on which the trial ended."""
    cut = stretch.usage.end < stretch.whole.instants(trial.zone).end
    return cut and local_day(stretch.usage.end, trial.zone) == trial.day
