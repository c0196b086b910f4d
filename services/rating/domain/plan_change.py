"""What a change of plan within a paid period gives back of the old, and charges of the new.

Amounts are for the days that are left: from the day of the change, which is the new plan's, to
the end of the period.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import floor

from libs.period import DayPeriod

HALF = Fraction(1, 2)
ALIKE = Fraction(1, 4)


@dataclass(frozen=True, slots=True)
class Component:
    """A price of a plan, in minor units: below zero for what the old plan had.

    It is for `nominal_days`, 30 for a month and 365 for a year; None: once, whatever the days.
    """

    amount_minor: int
    nominal_days: int | None


def change_minor(component: Component, period: DayPeriod, day: date) -> int:
    """Return what the change on `day` of the period charges for a component, rounded once.

    3000 a month, on 16 of 30 days are 1500. A component whose days are not about those of the
    period, within a quarter, is charged for the days left of its own: 36500 a year, 3000 for 30.
    """
    if component.nominal_days is None:
        return component.amount_minor
    apart = Fraction(abs(component.nominal_days - period.days), period.days)
    of_days = component.nominal_days if apart > ALIKE else period.days
    left = (period.end_day - day).days
    exact = Fraction(component.amount_minor * left, of_days)
    whole = floor(abs(exact) + HALF)
    return whole if exact >= 0 else -whole
