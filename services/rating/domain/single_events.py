"""Single events of a period, for prices that look at each of them in its order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from libs.errors import Unavailable
from libs.period import Period
from services.rating.domain.attribution import Catalog, who_takes
from services.rating.domain.cell import value_key
from services.rating.domain.counting import is_added
from services.rating.domain.event import Moment, UsageEvent, micros
from services.rating.domain.instant_charge import only_rises
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.plan import Charge, PlanVersion
from services.rating.domain.price import ONE, ZERO
from services.rating.domain.reading import number_of, text_for
from services.rating.domain.value import text_of


class EventsNotRead(Unavailable):
    """A price looks at single events, and those at hand are not the ones that were counted."""


@dataclass(frozen=True, slots=True)
class SingleEvent:
    """What an event counts for a meter; `of` names a distinct value, `present` once it is added."""

    moment: Moment
    dimensions: tuple[str, ...]
    value: Decimal  # Of a distinct value 1 if it is added, and -1 if it is removed.
    value_key: bytes = b""  # Of a distinct value.
    amount: Decimal = ZERO  # The event's own.


def codes_read(version: PlanVersion, meters: Mapping[str, Meter]) -> frozenset[str]:
    """Return the codes of the meters whose single events a price of `version` looks at."""
    return frozenset(
        charge.meter_code
        for charge in version.charges
        if charge.looks_at_events or _replayed(charge, meters[charge.meter_code])
    )


def _replayed(charge: Charge, meter: Meter) -> bool:
    """Tell whether it is an instant charge of which single events may cost nothing."""
    prices = charge.prices.values()
    return charge.instant is not None and not all(only_rises(price, meter) for price in prices)


def codes_prorated(versions: Iterable[PlanVersion]) -> frozenset[str]:
    """Return the codes of the meters of which a charge of `versions` weighs the days."""
    charges = (charge for version in versions for charge in version.charges)
    return frozenset(charge.meter_code for charge in charges if charge.prorated)


def single_events(
    events: Iterable[UsageEvent],
    catalog: Catalog,
    meters: Sequence[Meter],
    *,
    term_id: UUID,
    window: Period,
) -> dict[str, list[SingleEvent]]:
    """Return what `events` of a customer count for `meters` in the `window` of a term's days.

    They are by meter code, in the order given. It is what folding them adds to the cells.
    """

    found: dict[str, list[SingleEvent]] = {meter.code: [] for meter in meters}
    start, end = micros(window.start), micros(window.end)
    within = [event for event in events if start <= event.moment.time < end]
    for event, taken in zip(within, who_takes(within, catalog), strict=True):
        for meter in meters:
            if meter.event_type != event.type:
                continue
            if all(term.term_id != term_id for term in taken.takers(meter)):
                continue
            counted = counted_event(event, meter)
            if counted is not None:
                found[meter.code].append(counted)
    return found


def counted_event(event: UsageEvent, meter: Meter) -> SingleEvent | None:
    """Return what `event` counts for `meter`, None if that is nothing."""
    if meter.event_type != event.type:
        return None
    dimensions, amount = _dimensions(event, meter), event.amount or ZERO
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        text = text_for(event, meter)
        change = ONE if is_added(event) else -ONE
        counted = SingleEvent(event.moment, dimensions, change, value_key(text), amount)
        return counted if text else None
    value = ONE if meter.aggregation is Aggregation.COUNT else number_of(event, meter)
    return None if value is None else SingleEvent(event.moment, dimensions, value, amount=amount)


def _dimensions(event: UsageEvent, meter: Meter) -> tuple[str, ...]:
    """Return the event's values of the meter's dimensions."""
    return tuple(text_of(event.properties.get(each.key)) for each in meter.dimensions)
