"""Prorated sums: values that hold from their day to the end of the period.

Sum of value x (days from its day to the last one billed, both included) / days of the whole
period; what earlier periods left counts for all days billed. Values below zero do alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction

from libs.money import EXACT
from services.rating.domain.proration import ZERO, BilledDays, Entry, Prorated, prorate


def prorated_sum(day_sums: Iterable[tuple[date, Decimal]], billed: BilledDays) -> Prorated:
    """Return the prorated sum of what came on each day, those before the period included.

    A day may be there several times, as cells are; those behind the period do not count. 5 from
    before and 24 on 26 May are 5 + 24 x 6 / 31 = 9.64517 of 29.
    """
    weighted = full = ZERO
    for day, value in day_sums:
        if day < billed.days.end_day:
            weighted = EXACT.add(weighted, EXACT.multiply(value, Decimal(billed.weight(day))))
            full = EXACT.add(full, value)
    return Prorated(prorate(weighted, billed.of_days), full)


def sum_entries(values: Iterable[tuple[date, Decimal]], billed: BilledDays) -> list[Entry]:
    """Return what prices that look at single events see of `values`, in the order of time.

    All that came before the period is one entry, the first; afterwards each event is one.
    """
    carried, entries = ZERO, []
    for day, value in values:
        if day < billed.days.first_day:
            carried = EXACT.add(carried, value)
        elif day < billed.days.end_day:
            entries.append(Entry(value, Fraction(billed.left(day), billed.of_days)))
    if carried:
        entries.insert(0, Entry(carried, Fraction(billed.held, billed.of_days)))
    return entries
