"""Percentages of money that events report, with parts that are free and bounds for each event.

(U - free) x rate_percent / 100 + paid events x fixed_amount. Free are the first `free_events`
events, or the first events up to `free_amount` in sum; if both are set, what both leave free. An
event that reaches `free_amount` pays for what is above it, and the whole fixed amount. Without
units in sum nothing is paid. If an event has bounds, each is priced alone, in time order, and
what it costs is kept within them; an event that is free costs nothing whatever they are.

The two differ where an event below zero is free. Without bounds what is free goes by the running
total: at 1 % with 25 free among the first two events, 26 and -2 come to 24 and cost nothing. With
bounds 26 costs 0.01, and -2, which is free, gives nothing back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from libs.errors import FieldInvalid
from libs.money import EXACT
from services.rating.domain.price import (
    ZERO,
    Row,
    amount_of,
    factor_of,
    flat_row,
    negative_faults,
    row_of,
)


@dataclass(frozen=True, slots=True)
class PercentagePrice:
    """A share of each event's value, and a fixed amount for each event that pays."""

    rate_percent: Decimal
    fixed_amount: Decimal = ZERO
    free_events: int = 0  # 0: no event is free for its place.
    free_amount: Decimal = ZERO  # 0: no value is free for the sum.
    event_minimum: Decimal | None = None
    event_maximum: Decimal | None = None

    @property
    def bounded(self) -> bool:
        """Tell whether each event is priced alone."""
        return self.event_minimum is not None or self.event_maximum is not None


@dataclass(frozen=True, slots=True)
class Free:
    """What of a period's units is free, and how many of its events are free as a whole."""

    units: Decimal
    events: int


NONE_FREE = Free(ZERO, 0)


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of an event that is free, and whether that is all of it."""

    value: Decimal
    free_units: Decimal = ZERO
    free: bool = False


@dataclass(frozen=True, slots=True)
class PercentageSum:
    """What is known of events once they are added up one by one, in time order.

    `freed` is the sum of the values that could be free, `free_events` how many were as a whole;
    `alone` is what the events cost that pay, each within the bounds.
    """

    event_count: int = 0
    units: Decimal = ZERO
    freed: Decimal = ZERO
    free_events: int = 0
    alone: Decimal = ZERO

    def after(self, price: PercentagePrice | None, value: Decimal) -> PercentageSum:
        """Return what is known after one more event; without a price, only counted and summed."""
        units, event_count = EXACT.add(self.units, value), self.event_count + 1
        if price is None or not self._can_be_free(price):
            part, freed = _Part(value), self.freed
        else:
            freed = EXACT.add(self.freed, value)
            covered = EXACT.subtract(_covered(price, freed), _covered(price, self.freed))
            part = _Part(value, covered, not price.free_amount or freed < price.free_amount)
        paid = ZERO if price is None or part.free else _kept(price, part)
        alone = EXACT.add(self.alone, paid)
        return PercentageSum(event_count, units, freed, self.free_events + part.free, alone)

    def cost(self, price: PercentagePrice) -> Decimal:
        """Return what the events cost: what `rate_events` makes of them."""
        if price.bounded and self.units > 0:
            return max(self.alone, ZERO)
        free = Free(_covered(price, self.freed), self.free_events)
        return amount_of(rate_percentage(price, self.units, self.event_count, free))

    def _can_be_free(self, price: PercentagePrice) -> bool:
        if price.free_events:
            return self.event_count < price.free_events
        return bool(price.free_amount) and self.freed <= price.free_amount


def rate_events(price: PercentagePrice, values: Sequence[Decimal]) -> tuple[Row, ...]:
    """Price events by their `values` in time order.

    At 3 % with at least 1 for an event, 10 and 100 cost 0.30 + 3, and 0.70 that the first lacks.
    """
    free = free_of(price, values)
    units = ZERO
    for value in values:
        units = EXACT.add(units, value)
    if not price.bounded or units <= 0:
        return rate_percentage(price, units, len(values), free)
    free_units = _free_alone(price, values)
    paid = EXACT.subtract(units, free_units)
    rows = _rows(price, paid, free_units, len(values) - free.events)
    lifted, cut = _adjustments(price, values)
    total = EXACT.add(amount_of(rows), EXACT.add(lifted, cut))
    lifted = EXACT.add(lifted, max(EXACT.minus(total), ZERO))
    added = flat_row("minimum", lifted), flat_row("maximum", cut)
    return (*rows, *(row for row in added if row.amount))


def rate_percentage(
    price: PercentagePrice, units: Decimal, event_count: int, free: Free
) -> tuple[Row, ...]:
    """Price `units` in sum of `event_count` events of which `free` is free, without bounds."""
    if units <= 0:
        return _rows(price, ZERO, ZERO, 0)
    paid = max(EXACT.subtract(units, free.units), ZERO)
    return _rows(price, paid, EXACT.subtract(units, paid), event_count - free.events)


def free_of(price: PercentagePrice, values: Iterable[Decimal]) -> Free:
    """Return what is free of events with `values` in time order; reads no more than it needs."""
    units, events = ZERO, 0
    for part in _parts(price, values):
        units = EXACT.add(units, part.free_units)
        events += part.free
    return Free(units, events)


def event_amounts(price: PercentagePrice, values: Sequence[Decimal]) -> list[Decimal]:
    """Return what each event costs if it is priced alone, in time order."""
    return [ZERO if part.free else _kept(price, part) for part in _all_parts(price, values)]


def amounts_so_far(price: PercentagePrice, values: Iterable[Decimal]) -> Iterator[Decimal]:
    """Give what the events up to each one cost, in time order: `rate_events` of all beginnings."""
    sums = PercentageSum()
    for value in values:
        sums = sums.after(price, value)
        yield sums.cost(price)


def percentage_faults(price: PercentagePrice, path: str) -> list[FieldInvalid]:
    """Return every rule that the price breaks: nothing below zero, the bounds in order."""
    faults = []
    for name in PercentagePrice.__slots__:
        faults += negative_faults(getattr(price, name), f"{path}.{name}")
    low, high = price.event_minimum, price.event_maximum
    if low is not None and high is not None and low > high:
        problem = f"{low} is above event_maximum, which is {high}"
        faults.append(FieldInvalid(f"{path}.event_minimum", problem))
    return faults


def _parts(price: PercentagePrice, values: Iterable[Decimal]) -> Iterator[_Part]:
    """Give the events that can be free; those behind them are not.

    By the sum alone, no event is free behind the first that goes beyond it, not even if a value
    below zero brings the sum back.
    """
    limit = price.free_amount
    total = covered = ZERO
    for place, value in enumerate(values):
        if place >= price.free_events and (price.free_events or not limit or total > limit):
            return
        total = EXACT.add(total, value)
        reached = min(total, limit) if limit else total
        yield _Part(value, EXACT.subtract(reached, covered), not limit or total < limit)
        covered = reached


def _covered(price: PercentagePrice, total: Decimal) -> Decimal:
    return min(total, price.free_amount) if price.free_amount else total


def _all_parts(price: PercentagePrice, values: Sequence[Decimal]) -> Iterator[_Part]:
    count = 0
    for part in _parts(price, values):
        count += 1
        yield part
    for value in values[count:]:
        yield _Part(value)


def _rows(
    price: PercentagePrice, paid: Decimal, free_units: Decimal, paid_events: int
) -> tuple[Row, ...]:
    rows = [row_of("percentage", paid, factor_of(price.rate_percent))]
    if free_units:
        rows.insert(0, row_of("free", free_units, ZERO))
    if paid_events and price.fixed_amount:
        rows.append(row_of("fixed", Decimal(paid_events), price.fixed_amount))
    return tuple(rows)


def _free_alone(price: PercentagePrice, values: Sequence[Decimal]) -> Decimal:
    """Return what is free of events that are priced alone: of one that is free, its whole value."""
    free = ZERO
    for part in _all_parts(price, values):
        free = EXACT.add(free, part.value if part.free else part.free_units)
    return free


def _adjustments(price: PercentagePrice, values: Sequence[Decimal]) -> tuple[Decimal, Decimal]:
    """Return what the bounds add to the events that pay, and what they take off, below zero."""
    lifted = cut = ZERO
    for part in _all_parts(price, values):
        if not part.free:
            change = EXACT.subtract(_kept(price, part), _exact(price, part))
            lifted = EXACT.add(lifted, max(change, ZERO))
            cut = EXACT.add(cut, min(change, ZERO))
    return lifted, cut


def _kept(price: PercentagePrice, part: _Part) -> Decimal:
    amount = _exact(price, part)
    if price.event_minimum is not None:
        amount = max(amount, price.event_minimum)
    return amount if price.event_maximum is None else min(amount, price.event_maximum)


def _exact(price: PercentagePrice, part: _Part) -> Decimal:
    paid = EXACT.subtract(part.value, part.free_units)
    return EXACT.add(EXACT.multiply(paid, factor_of(price.rate_percent)), price.fixed_amount)
