"""What usage must cost, computed anew from the events: in fractions, by code of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from tests.chaos.known import Usage
from tests.chaos.seen import Charged

WEEK = timedelta(days=7)
CALL, JOB = "call", "job"  # Types of events: calls add up their values, jobs are counted.

Tiers = Sequence[tuple[int | None, str]]  # Last unit of the band (None: open) and unit amount.


@dataclass(frozen=True, slots=True)
class Tariff:
    """A weekly plan: what it charges for each type of event, and its base fee."""

    code: str
    charges: Mapping[str, Tiers]
    base_minor: int = 0


TARIFFS = {
    tariff.code: tariff
    for tariff in (
        Tariff("metered", {CALL: [(100, "0.013"), (None, "0.007")], JOB: [(None, "0.05")]}),
        Tariff("based", {CALL: [(None, "0.0105")]}, base_minor=300),
    )
}


@dataclass(frozen=True, slots=True)
class Seat:
    """A subscription of the world."""

    subscription_id: str
    customer_id: str
    tariff: str
    delay_seconds: int  # Collection delay.


def expected_usage(
    seats: Sequence[Seat], starts: Sequence[datetime], events: Iterable[Usage]
) -> dict[tuple[str, datetime], dict[str, Charged]]:
    """Return what each subscription's weeks, which begin at `starts`, cost by charge.

    Charges without events are left out.
    """
    values: defaultdict[tuple[str, datetime, str], list[Decimal]] = defaultdict(list)
    for event in events:
        for start in starts:
            if start <= event.time < start + WEEK:
                values[event.subscription_id, start, event.type].append(event.value)
    found: dict[tuple[str, datetime], dict[str, Charged]] = {}
    for seat in seats:
        tiers = TARIFFS[seat.tariff].charges
        for start in starts:
            of_period = {kind: values[seat.subscription_id, start, kind] for kind in tiers}
            found[seat.subscription_id, start] = {
                kind: charge(kind, inside, tiers[kind])
                for kind, inside in of_period.items()
                if inside
            }
    return found


def charge(kind: str, values: Sequence[Decimal], tiers: Tiers) -> Charged:
    """Return the units, the events and the amount of one charge, rounded once.

    150 units at 0.013 up to 100, then 0.007: 1.30 + 0.35 is 165 minor units.
    """
    units = Decimal(len(values)) if kind == JOB else sum(values, Decimal(0))
    amount, below = Fraction(0), Fraction(0)
    for last, unit_amount in tiers:
        top = Fraction(units) if last is None else min(Fraction(units), Fraction(last))
        amount += max(top - below, Fraction(0)) * Fraction(unit_amount)
        below = top
    cents = amount * 100
    return Charged(units, len(values), int(cents + Fraction(1, 2)))  # None is negative.
