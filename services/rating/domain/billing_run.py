"""What a run that bills a subscription at an instant has to bill, and on which days there is one.

The periods that are written ahead come to the same, each at its own time; here the question is
asked the other way round, from the instant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from libs.period import DayPeriod, Period, local_day
from services.rating.domain.calendar import DAY, Calendar, Stretch, stretch_of
from services.rating.domain.plan import Timing

ZONES_APART_MAX = timedelta(hours=26)  # From the zone that is first in a day to the last one.


class Ending(StrEnum):
    """Why a subscription to a plan ends."""

    CANCELLATION = "cancellation"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"  # At the end of a period, which is billed whole.


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when a subscription is on a plan; `ending` is why, where it has an end."""

    start: datetime
    end: datetime | None = None
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What a run bills: a base fee for the days of one stretch, the usage of another."""

    fee: Stretch
    usage: Stretch


def present(calendar: Calendar, at: datetime) -> DayPeriod:
    """Return the period that holds the local day of `at`."""
    return calendar.whole(local_day(at, calendar.zone))


def previous(calendar: Calendar, at: datetime) -> DayPeriod:
    """Return the period before the one that holds the local day of `at`."""
    return calendar.whole(present(calendar, at).first_day - DAY)


def is_billing_day(calendar: Calendar, at: datetime) -> bool:
    """Tell whether the local day of `at` opens a period, so that the one before is billed."""
    return present(calendar, at).first_day == local_day(at, calendar.zone)


def billed_at(fees: Calendar, usage: Calendar, life: Life, *, at: datetime, timing: Timing) -> Run:
    """Return what a run at `at` bills, by the calendars of base fees and of usage.

    In arrears the periods before the one of `at`; in advance a fee for the present one. Of what
    has ended by `at` the present period, up to the end; a downgrade lets the one before be whole.
    """
    cut = life.end is not None and life.end <= at and life.ending is not Ending.DOWNGRADE
    if cut:
        return running_at(fees, usage, life, at=at)
    ahead = present(fees, at) if timing is Timing.IN_ADVANCE else previous(fees, at)
    whole = replace(life, end=None)
    return Run(_part(fees, ahead, whole), _part(usage, previous(usage, at), whole))


def running_at(fees: Calendar, usage: Calendar, life: Life, *, at: datetime) -> Run:
    """Return the periods that hold the local day of `at`, up to the end of the subscription."""
    return Run(_part(fees, present(fees, at), life), _part(usage, present(usage, at), life))


def usage_after(window: Period, last_end: datetime) -> Period:
    """Return the usage `window` of a period so that it begins where the last one ended.

    They lie apart, or overlap, where the zone has changed between them: not by more than 26 hours.
    From 1 February 00:00 in Los Angeles, after one up to 1 February 00:00 in Tokyo: 17 hours more.
    """
    apart = abs(window.start - last_end)
    return replace(window, start=last_end) if apart <= ZONES_APART_MAX else window


def _part(calendar: Calendar, whole: DayPeriod, life: Life) -> Stretch:
    return stretch_of(whole, calendar.zone, start=life.start, end=life.end)
