"""Instant charges: each event costs, as it comes, what it adds to the price of its period.

A fee is what the events dated up to its event cost, less the most that they have cost before it,
and never below 0: what goes gives nothing back, and what comes again costs nothing. Nothing at all
costs nothing, so a first tier's flat amount comes with the first event.

Fees are provisional: an event that comes late finds others that were priced without it. At the end
of the period all are replayed in the order of moments; what that differs from the sum of the
provisional fees is one correction. So the total does not depend on the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from libs.money import EXACT
from services.rating.domain.cell import Operation
from services.rating.domain.dynamic import DynamicPrice, rate_dynamic
from services.rating.domain.event import Moment
from services.rating.domain.graduated_percentage import (
    GraduatedPercentagePrice,
    rate_graduated_percentage,
)
from services.rating.domain.high_water import HighWater, prorated_rise
from services.rating.domain.percentage import PercentagePrice, amounts_so_far, rate_events
from services.rating.domain.price import (
    ZERO,
    GraduatedPrice,
    PackagePrice,
    Row,
    StandardPrice,
    amount_of,
    rate,
)

# Not volume prices: an event would change what all before it cost.
LevelPrice = StandardPrice | PackagePrice | GraduatedPrice | GraduatedPercentagePrice
InstantPrice = LevelPrice | PercentagePrice | DynamicPrice


@dataclass(frozen=True, slots=True)
class Step:
    """What one event adds to the units of its period, or takes off; and its own amount."""

    moment: Moment
    units: Decimal
    amount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class InstantFee:
    """What one event costs, exactly, in currency units.

    `units` are those it adds, 0 if it takes some off; `new_units` those that lift the period's
    highest level: of 8 that come at 6 after 10, they are 4.
    """

    moment: Moment
    units: Decimal
    new_units: Decimal
    amount: Decimal


def value_steps(
    operations: Iterable[tuple[Hashable, Operation]], there: Iterable[Hashable] = ()
) -> list[Step]:
    """Return the steps of distinct values that are added and removed, in the order of moments.

    Those that are `there` at first have no step. What adds a value that is there, or removes one
    that is not, is a step of 0 units.
    """
    now = set(there)
    steps = []
    for value, (moment, present) in sorted(operations, key=lambda each: each[1].moment):
        changes = present != (value in now)
        (now.add if present else now.discard)(value)
        steps.append(Step(moment, Decimal((1 if present else -1) * changes)))
    return steps


def prorated_steps(
    steps: Iterable[Step], days_left: Callable[[Moment], int], *, of_days: int
) -> list[Step]:
    """Return steps of a recurring meter whose units are weighed by the days left of the period.

    Only what lifts the highest level is weighed, and nothing is given back: for prices by unit.
    With 15 of 30 days left, 10 units are 5.
    """
    weighed, level = [], HighWater()
    for step in _in_order(steps):
        rise = level.rise(step.units)
        units = prorated_rise(rise, days=days_left(step.moment), of_days=of_days) if rise else ZERO
        weighed.append(Step(step.moment, units, step.amount))
        level = level.after(step.units)
    return weighed


def instant_fees(price: InstantPrice, steps: Iterable[Step]) -> list[InstantFee]:
    """Return what each of `steps` costs in the order of moments, if all are known.

    At 1 each, 10, -4 and 8 units cost 10, 0 and 4.
    """
    ordered = _in_order(steps)
    fees, level, paid = [], HighWater(), ZERO
    for step, amount in zip(ordered, _amounts(price, ordered), strict=True):
        fees.append(
            InstantFee(
                moment=step.moment,
                units=max(step.units, ZERO),
                new_units=level.rise(step.units),
                amount=max(EXACT.subtract(amount, paid), ZERO),
            )
        )
        level, paid = level.after(step.units), max(paid, amount)
    return fees


def provisional_fee(price: InstantPrice, known: Iterable[Step], step: Step) -> InstantFee:
    """Return what `step` costs as it comes; of the `known` ones, those dated before it count."""
    before = (each for each in known if each.moment < step.moment)
    return instant_fees(price, [*before, step])[-1]


def replay(price: InstantPrice, steps: Iterable[Step]) -> tuple[Row, ...]:
    """Return the price of a whole period: that of its events up to the most they have cost.

    Its amount is the sum of the instant fees of all.
    """
    ordered = _in_order(steps)
    amounts = list(_amounts(price, ordered))
    highest = max(amounts, default=ZERO)
    return _rows(price, ordered[: amounts.index(highest) + 1]) if amounts else ()


def correction(price: InstantPrice, steps: Iterable[Step], fees: Iterable[Decimal]) -> Decimal:
    """Return what the period costs more, or less, than the amounts of its provisional fees."""
    difference = amount_of(replay(price, steps))
    for fee in fees:
        difference = EXACT.subtract(difference, fee)
    return difference


def amounts_after(price: InstantPrice, ordered: Sequence[Step]) -> list[Decimal]:
    """Return what the steps up to each one cost; they are in the order of moments."""
    return list(_amounts(price, ordered))


def _in_order(steps: Iterable[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: step.moment)


def _amounts(price: InstantPrice, steps: Sequence[Step]) -> Iterator[Decimal]:
    """Give what the steps up to each one cost."""
    if isinstance(price, PercentagePrice):
        yield from amounts_so_far(price, (step.units for step in steps))
        return
    for units, amount in _sums(steps):
        yield amount_of(_rated(price, units, amount))


def _rows(price: InstantPrice, steps: Sequence[Step]) -> tuple[Row, ...]:
    if isinstance(price, PercentagePrice):
        return rate_events(price, [step.units for step in steps])
    *_, (units, amount) = _sums(steps)
    return _rated(price, units, amount)


def _sums(steps: Iterable[Step]) -> Iterator[tuple[Decimal, Decimal]]:
    """Give the units and own amounts of the steps up to each one."""
    units = amount = ZERO
    for step in steps:
        units, amount = EXACT.add(units, step.units), EXACT.add(amount, step.amount)
        yield units, amount


def _rated(price: LevelPrice | DynamicPrice, units: Decimal, amount: Decimal) -> tuple[Row, ...]:
    match price:
        case DynamicPrice():
            return rate_dynamic(price, units, amount)
        case GraduatedPercentagePrice():
            return rate_graduated_percentage(price, units)
        case StandardPrice() | PackagePrice() | GraduatedPrice():
            return rate(price, units)
        case _:
            assert_never(price)
