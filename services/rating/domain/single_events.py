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
from services.rating.domain.charge_price import reads_events
from services.rating.domain.counting import OPERATION_PROPERTY, REMOVE
from services.rating.domain.event import Moment, UsageEvent, micros
from services.rating.domain.instant_charge import only_rises
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.plan import PlanVersion
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
    value: Decimal
    amount: Decimal = ZERO  # The event's own.
    of: bytes = b""
    present: bool = True


def codes_read(version: PlanVersion, meters: Mapping[str, Meter]) -> frozenset[str]:
    """Return the codes of the meters whose single events a price of `version` looks at."""
    return frozenset(
        charge.meter_code
        for charge in version.charges
        for price in (charge.price, *(one.price for one in charge.buckets))
        if reads_events(price)
        or (charge.instant is not None and not only_rises(price, meters[charge.meter_code]))
    )


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
        if taken.term is None or taken.term.term_id != term_id:
            continue
        for meter in meters:
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
        present = event.properties.get(OPERATION_PROPERTY) != REMOVE
        counted = SingleEvent(event.moment, dimensions, ONE, amount, value_key(text), present)
        return counted if text else None
    value = ONE if meter.aggregation is Aggregation.COUNT else number_of(event, meter)
    return None if value is None else SingleEvent(event.moment, dimensions, value, amount)


def _dimensions(event: UsageEvent, meter: Meter) -> tuple[str, ...]:
    """Return the event's values of the meter's dimensions."""
    return tuple(text_of(event.properties.get(each.key)) for each in meter.dimensions)
