"""What bills before and after the end of a week must come to, by code of the rounds' own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from tests.chaos.expected import DAYS, AddOn, Rate, cents, rounded
from tests.chaos.seen import Charged, UnitsSeen

NOTHING = Charged(Decimal(0), 0, 0)


@dataclass(frozen=True, slots=True)
class Taken:
    """What is billed, or to be paid, before the week ends; `amount` in minor units, exactly."""

    units: Decimal
    event_count: int
    amount: Fraction


def take(parts: Iterable[tuple[Decimal, int, Fraction]]) -> Taken:
    """Return parts, each of units, events and an exact amount, as one."""
    units, event_count, amount = Decimal(0), 0, Fraction(0)
    for part in parts:
        units, event_count, amount = units + part[0], event_count + part[1], amount + part[2]
    return Taken(units, event_count, amount)


def correction(rate: Rate, whole: Charged, taken: Taken) -> Charged:
    """Return what the end of the week bills: all events in their order, less what was taken.

    5.00 after bills of 5.30 are -0.30. If nothing is left to bill there is no correction at all.
    """
    left = cents(whole.units, rate.tiers) - taken.amount
    if not left:
        return NOTHING
    units = whole.units - taken.units
    return Charged(units, whole.event_count - taken.event_count, rounded(left))


def add_on_fee(add_on: AddOn, history: Sequence[UnitsSeen], start: datetime) -> Charged:
    """Return what an add-on costs in the week that begins at `start`.

    In advance: the units that it begins with, and each raise above the most that it has had, for
    the days left. 4 a week at 7 are 28; 6 from Wednesday on add 2 x 7 x 5 / 7.
    """
    units, most, unit_days = add_on.units, add_on.units, add_on.units * DAYS
    for change in history:
        day = (change.from_day - start.date()).days
        if day < 0 or (day == 0 and change.changed_at < start):
            units = most = change.units
            unit_days = units * DAYS
        elif day < DAYS and change.units > most:
            unit_days += (change.units - most) * (DAYS - day)
            units = most = change.units
    amount = Fraction(unit_days) * Fraction(add_on.unit_amount) * 100 / DAYS
    return Charged(units, 0, rounded(amount))
