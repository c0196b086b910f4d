"""Prorated graduated prices: each event by the tiers it moves through, weighed by its days.

An event that moves the units from p to q costs its weight x (C(q) - C(p)), where C is the
graduated price without flat amounts; below zero, C goes on at the first tier's unit amount. Flat
amounts come with the tiers that the highest position reaches, and are not weighed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from libs.money import EXACT
from services.rating.domain.price import ZERO, GraduatedPrice, Row, Tier, rate
from services.rating.domain.proration import Entry
from services.rating.domain.rounding import round_units

NOTHING = Fraction(0)


@dataclass(frozen=True, slots=True)
class _Step:
    """A row before it is written with 30 places."""

    label: str
    units: Fraction
    unit_amount: Decimal
    flat_amount: Decimal
    amount: Fraction
    up_to: Decimal | None = None


def rate_prorated_graduated(price: GraduatedPrice, entries: Sequence[Entry]) -> tuple[Row, ...]:
    """Price `entries` in the order of time, by the share of the period each is there.

    5 units for half a period and 10 more for a fifth of it, at 10 up to 5 and 5 above, cost
    0.5 x 50 + 0.2 x 50 = 35. Entries that weigh nothing in sum cost what no units do, and those
    that end below zero cost nothing at all. The rows add up to the exact amount, rounded to 30
    places; their units are weighed, and shown with 30 places, too.
    """
    if not sum((entry.prorated for entry in entries), NOTHING):
        return rate(price, ZERO)
    positions = _positions(entries)
    if positions[-1] < 0:
        return ()
    steps = _tier_steps(price.tiers, entries, positions)
    used = sum((step.units * Fraction(step.unit_amount) for step in steps), NOTHING)
    total = sum((step.amount for step in steps), NOTHING)
    if lacking := max(-used, -total, NOTHING):
        steps.append(_flat_step("minimum", lacking))
    return _rows(steps)


def _positions(entries: Iterable[Entry]) -> list[Decimal]:
    """Return the units at first and after each entry."""
    positions = [ZERO]
    for entry in entries:
        positions.append(EXACT.add(positions[-1], entry.units))
    return positions


def _tier_steps(
    tiers: Sequence[Tier], entries: Sequence[Entry], positions: Sequence[Decimal]
) -> list[_Step]:
    steps: list[_Step] = []
    highest = max(positions)
    below: Decimal | None = None
    for tier in tiers:
        if below is not None and highest <= below:
            break
        inside = [Fraction(_kept_within(below, tier.up_to, at)) for at in positions]
        moves = zip(entries, pairwise(inside), strict=True)
        units = sum((entry.weight * (to - start) for entry, (start, to) in moves), NOTHING)
        steps += _priced(tier, units)
        below = tier.up_to
    return steps


def _kept_within(below: Decimal | None, up_to: Decimal | None, position: Decimal) -> Decimal:
    """Return the place nearest to `position` in a tier; the first one goes on below zero."""
    if below is not None and position < below:
        return below
    return up_to if up_to is not None and position > up_to else position


def _priced(tier: Tier, units: Fraction) -> Iterator[_Step]:
    amount = units * Fraction(tier.unit_amount) + Fraction(tier.flat_amount)
    yield _Step("tier", units, tier.unit_amount, tier.flat_amount, amount, tier.up_to)
    if tier.flat_cap is not None and amount > tier.flat_cap:
        yield _flat_step("cap", Fraction(tier.flat_cap) - amount, tier.up_to)


def _flat_step(label: str, amount: Fraction, up_to: Decimal | None = None) -> _Step:
    return _Step(label, NOTHING, ZERO, round_units(amount, None), amount, up_to)


def _rows(steps: Iterable[_Step]) -> tuple[Row, ...]:
    """Write steps so that their amounts add up to the sum of the exact ones, as it is written."""
    rows = []
    exact, before = NOTHING, ZERO
    for step in steps:
        exact += step.amount
        after = round_units(exact, None)
        amount, before = EXACT.subtract(after, before), after
        units = round_units(step.units, None)
        rows.append(Row(step.label, units, step.unit_amount, step.flat_amount, amount, step.up_to))
    return tuple(rows)
