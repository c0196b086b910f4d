"""Seats: instant charges of recurring meters, whose units are there until they are removed.

A period begins with what it carries, which is paid for all of it; each event costs what it adds to
the most that has been there, if prorated by the days left. What is gone gives nothing back until
the period ends, and what comes again costs nothing until then.

What a life of a subscription carries that begins within a week or month costs as if it came then.
Only what it took over from another plan that has charged it is paid for already: it counts in full,
and what that costs is taken off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from libs.money import EXACT, exact_sum
from services.rating.domain.carrying import BEFORE
from services.rating.domain.cell import TIME_MIN, Cell, merged
from services.rating.domain.charge_price import ChargePrice, Usage, price_usage, weighs_entries
from services.rating.domain.event import Moment
from services.rating.domain.high_water import HighWater, prorated_rise
from services.rating.domain.instant import Step
from services.rating.domain.instant_fee import NO_EVENT
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.plan import Charge
from services.rating.domain.price import ZERO, amount_of
from services.rating.domain.proration import Entry
from services.rating.domain.replaying import check_read, steps_of
from services.rating.domain.seat_period import SeatPeriod
from services.rating.domain.single_events import SingleEvent

WHOLE = Fraction(1)
NO_PERIOD = Moment(TIME_MIN, NO_EVENT, 0, 0)


@dataclass(frozen=True, slots=True)
class KnownUsage:
    """What is known of a meter's usage in a period: cells that it carries, and its events."""

    carried: Sequence[Cell] = ()
    events: Sequence[SingleEvent] = ()


@dataclass(frozen=True, slots=True)
class Rise:
    """By how much a step lifts the most that has been there, and what of it is priced."""

    moment: Moment
    units: Decimal
    share: Fraction  # Of the period; all of it where nothing is prorated.
    weighed: Decimal


@dataclass(frozen=True, slots=True)
class Seats:
    """A bucket and group of a charge in a period: the opening, and what each event adds.

    `held`: the opening is paid for already.
    """

    charge: Charge
    price: ChargePrice
    rises: tuple[Rise, ...]
    held: bool

    @property
    def held_units(self) -> Decimal:
        """The units that are paid for already."""
        return self.rises[0].weighed if self.held else ZERO

    @property
    def held_amount(self) -> Decimal:
        """What those would cost."""
        return self._amount(self._usage(1)) if self.held else ZERO

    def usage(self) -> Usage | None:
        """Return all usage of the period, what is held included; None if nothing costs anything."""
        return self._charged(len(self.rises))

    def fees(self, wanted: Collection[Moment]) -> Iterator[tuple[Rise, Decimal]]:
        """Give what the rises at the moments `wanted` cost as they come, those that do."""
        for place, rise in enumerate(self.rises):
            if rise.units and rise.moment in wanted:
                cost = EXACT.subtract(self._cost(place + 1), self._cost(place))
                if cost > 0:
                    yield rise, cost

    def _cost(self, count: int) -> Decimal:
        usage = self._charged(count)
        return ZERO if usage is None else EXACT.subtract(self._amount(usage), self.held_amount)

    def _charged(self, count: int) -> Usage | None:
        units = exact_sum(rise.units for rise in self.rises[:count])
        paid = self.rises[0].units if self.held else ZERO
        return self._usage(count) if units > paid else None

    def _usage(self, count: int) -> Usage:
        rises = [rise for rise in self.rises[:count] if rise.units]
        full = exact_sum(rise.units for rise in rises)
        events = count - 1
        if not self.charge.prorated:
            return Usage(full, events)
        weighed = exact_sum(rise.weighed for rise in rises)
        entries = [Entry(rise.units, rise.share) for rise in rises]
        read = entries if weighs_entries(self.price) else None
        return Usage(weighed, events, full_units=full, entries=read)

    def _amount(self, usage: Usage) -> Decimal:
        return amount_of(price_usage(self.price, self.charge.options, usage))


def is_seats(charge: Charge, meter: Meter) -> bool:
    """Tell whether what a charge prices as it comes stays over the end of a period."""
    return charge.instant is not None and meter.recurring


def seats_of(
    charge: Charge,
    price: ChargePrice,
    meter: Meter,
    known: KnownUsage,
    *,
    period: SeatPeriod | None,
) -> Seats:
    """Return one bucket and group of a charge; without a `period` nothing is prorated."""
    held = period is not None and meter.code in period.held_codes
    rises = []
    level = HighWater()
    for place, step in enumerate(_steps(meter, known, period)):
        rise = level.rise(step.units)
        level = level.after(step.units)
        if not charge.prorated or (held and place == 0):
            rises.append(Rise(step.moment, rise, WHOLE, rise))
        else:
            rises.append(_weighed(step.moment, rise, period))
    return Seats(charge, price, tuple(rises), held)


def replayed_seats(
    charge: Charge,
    price: ChargePrice,
    meter: Meter,
    cells: Sequence[Cell],
    *,
    events: Sequence[SingleEvent] | None,
    period: SeatPeriod | None,
) -> Seats:
    """Return one bucket and group of a charge from all its `cells`, those carried included.

    Raises:
        EventsNotRead: `events` are not those that its other cells have counted.
    """
    own = merged(cell for cell in cells if cell.day != BEFORE)
    read = check_read(meter, own, events)
    carried = [cell for cell in cells if cell.day == BEFORE]
    return seats_of(charge, price, meter, KnownUsage(carried, read), period=period)


def _weighed(moment: Moment, rise: Decimal, period: SeatPeriod | None) -> Rise:
    assert period is not None, "prorated units are weighed by the days of a period"
    days = period.days_left(moment)
    units = prorated_rise(rise, days=days, of_days=period.of_days)
    return Rise(moment, rise, Fraction(days, period.of_days), units)


def _steps(meter: Meter, known: KnownUsage, period: SeatPeriod | None) -> list[Step]:
    """Return the opening, and what each event changes in the order of moments."""
    before = merged(known.carried)
    there = {key for key, presence in before.values.items() if presence.present}
    distinct = meter.aggregation is Aggregation.UNIQUE_COUNT
    level = Decimal(len(there)) if distinct else before.total or ZERO
    opening = NO_PERIOD if period is None else period.opening
    return [Step(opening, level), *steps_of(meter, known.events, there=there)]
