"""Prorated distinct values: each counts for the days on which it is there, if only for a moment.

The day of its removal counts; a value that comes and goes on one day counts for that day, and one
that goes and comes again on one day was there all the time. Days are summed over the values and
divided once by the days of the whole period.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from services.rating.domain.cell import Operation
from services.rating.domain.event import Moment
from services.rating.domain.proration import BilledDays, Entry, Prorated, prorate

DAY = timedelta(days=1)
ADDED, REMOVED = Decimal(1), Decimal(-1)


@dataclass(frozen=True, slots=True)
class DayOperation:
    """All that happened to a distinct value on one local day.

    `added` is the first instant at which it was added; `removed` the one from which on it was gone
    for the rest of the day, None if it was added last.
    """

    day: date
    added: Moment | None
    removed: Moment | None


@dataclass(frozen=True, slots=True)
class Stay:
    """A stretch in which a value is there; `removed` and `last_day` are None while it lasts."""

    added: Moment
    first_day: date
    removed: Moment | None = None
    last_day: date | None = None


def day_operations(operations: Iterable[tuple[date, Operation]]) -> list[DayOperation]:
    """Fold what happened to one value, by day and in the order of moments, into its days."""
    folded: list[DayOperation] = []
    for day, (moment, present) in operations:
        if not folded or folded[-1].day != day:
            folded.append(DayOperation(day, None, None))
        known = folded[-1]
        if present:
            folded[-1] = DayOperation(day, known.added or moment, None)
        else:
            folded[-1] = DayOperation(day, known.added, known.removed or moment)
    return folded


def stays(history: Iterable[DayOperation], end_day: date) -> list[Stay]:
    """Return when a value was there, by its days in order; those from `end_day` on do not count.

    A value that is there cannot be added, and one that is not cannot be removed.
    """
    found: list[Stay] = []
    there: Stay | None = None
    for operation in history:
        if operation.day >= end_day:
            break
        if there is None and operation.added is not None:
            there = Stay(operation.added, operation.day)
        if there is not None and operation.removed is not None:
            found.append(Stay(there.added, there.first_day, operation.removed, operation.day))
            there = None
    return [*found, there] if there is not None else found


def days_there(stay: Stay, billed: BilledDays) -> int:
    """Return the days billed on which a value is there, the day of its removal included."""
    behind = 0 if stay.last_day is None else billed.left(stay.last_day + DAY)
    return billed.left(stay.first_day) - behind


def prorated_unique_count(
    histories: Iterable[Sequence[DayOperation]], billed: BilledDays
) -> Prorated:
    """Return the prorated count of values; `histories` are theirs, from before the period on.

    Of 31 days, a value from before and one added on the 11th are 1 + 21 / 31 = 1.67742 of 2.
    """
    days = full = 0
    for history in histories:
        for stay in stays(history, billed.days.end_day):
            days += days_there(stay, billed)
            full += stay.removed is None
    return Prorated(prorate(days, billed.of_days), Decimal(full))


def unique_entries(histories: Iterable[Sequence[DayOperation]], billed: BilledDays) -> list[Entry]:
    """Return what prices that look at single events see of values, in the order of moments.

    A value that comes weighs by its days; that it goes weighs nothing, as those days end with it.
    Values that were gone before the period are left out.
    """
    placed: list[tuple[Moment, Entry]] = []
    for history in histories:
        for stay in stays(history, billed.days.end_day):
            days = days_there(stay, billed)
            if not days:
                continue
            placed.append((stay.added, Entry(ADDED, Fraction(days, billed.of_days))))
            if stay.removed is not None:
                placed.append((stay.removed, Entry(REMOVED, Fraction(0))))
    return [entry for _, entry in sorted(placed, key=lambda each: each[0])]
