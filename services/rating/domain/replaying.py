"""What an instant charge costs for a period as a whole: its events replayed in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate
from operator import attrgetter

from libs.money import EXACT, exact_sum
from services.rating.domain.cell import Cell, Operation
from services.rating.domain.charge_price import ChargePrice, Usage
from services.rating.domain.instant import Step, amounts_after, value_steps
from services.rating.domain.instant_charge import instant_price, only_rises
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.price import ZERO
from services.rating.domain.single_events import EventsNotRead, SingleEvent
from services.rating.domain.usage import whole_usage


def replayed_usage(
    price: ChargePrice,
    meter: Meter,
    cells: Sequence[Cell],
    events: Sequence[SingleEvent] | None,
) -> Usage:
    """Return the usage of one bucket and group up to where the period has cost most.

    Of 10, -4 and 3 units at 1 each that is the 10 of one event; at the same cost the most units.

    Raises:
        EventsNotRead: `events` are needed, and they are not those that its `cells` have counted.
    """
    whole = whole_usage(cells, meter)
    if only_rises(price, meter):
        return Usage(Decimal(whole.event_count), whole.event_count)
    return costliest(price, steps_of(meter, check_read(meter, whole, events)))


def check_read(
    meter: Meter, counted: Cell, events: Sequence[SingleEvent] | None
) -> Sequence[SingleEvent]:
    """Return `events`, once they are known to be those that were `counted`.

    Raises:
        EventsNotRead: they are not.
    """
    if events is None:
        raise EventsNotRead("an instant charge looks at single events, which were not read")
    total = exact_sum(event.value for event in events)
    summed = meter.aggregation is Aggregation.SUM
    if len(events) != counted.event_count or (summed and total != (counted.total or ZERO)):
        said = f"{counted.event_count} events are counted"
        raise EventsNotRead(f"{said}, {len(events)} of {total} units are in the log")
    return events


def steps_of(
    meter: Meter, events: Sequence[SingleEvent], *, there: Iterable[bytes] = ()
) -> list[Step]:
    """Return what each of `events` adds to the units of their period, in the order of moments.

    Of distinct values, those with the keys `there` have been added before.
    """
    ordered = sorted(events, key=attrgetter("moment"))
    if meter.aggregation is not Aggregation.UNIQUE_COUNT:
        return [Step(event.moment, event.value, event.amount) for event in ordered]
    operations = [(event.value_key, Operation(event.moment, event.value > 0)) for event in ordered]
    return value_steps(operations, there)


def costliest(price: ChargePrice, steps: Sequence[Step]) -> Usage:
    """Return the usage of the steps, in order and at least one, up to the most they cost."""
    units = list(accumulate((step.units for step in steps), EXACT.add))
    amounts = amounts_after(instant_price(price), steps)
    cost, _, last = max(
        (cost, level, place) for place, (cost, level) in enumerate(zip(amounts, units, strict=True))
    )
    chosen = steps[: last + 1]
    own = exact_sum(step.amount for step in chosen)
    return Usage(units[last], len(chosen), own, values=[step.units for step in chosen])
