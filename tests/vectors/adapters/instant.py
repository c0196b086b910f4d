"""Charges that are paid as their events come."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from libs.money import round_minor
from services.rating.domain.event import UsageEvent
from services.rating.domain.instant import InstantFee, Step, provisional_fee, value_steps
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.reading import number_of, text_for
from tests.vectors.adapters.prices import ZERO, model_of
from tests.vectors.adapters.recorded import (
    CURRENCY,
    events_of,
    meter_of,
    operation_of,
    period_of,
    time_of,
)
from tests.vectors.given import Given

ONE = Decimal(1)


def pay_in_advance(given: Given) -> dict[str, Any]:
    """Price each event as it comes; events of a later time have come before all of them."""
    meter, period = meter_of(given), period_of(given.inner("period"))
    price = model_of(given.inner("charge"))
    later = events_of(given.each("later_events")) if given.has("later_events") else []
    known, fees = later, []
    for event in events_of(given.each("events"), first=len(later)):
        known.append(event)
        # An operation of a later time is no reason to see this one in another light.
        seen = [each for each in known if each.moment <= event.moment and time_of(each) in period]
        *before, step = steps_of(seen, meter)
        fees.append(_shown(provisional_fee(price, before, step), meter))
    return {"fees": fees}


def steps_of(events: Iterable[UsageEvent], meter: Meter) -> list[Step]:
    """Return what each event that has a value changes, in the order of moments."""
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        texts = ((text_for(event, meter), operation_of(event)) for event in events)
        return value_steps((text, operation) for text, operation in texts if text)
    counted = (
        (event, ONE if meter.aggregation is Aggregation.COUNT else number_of(event, meter))
        for event in events
    )
    steps = (
        Step(event.moment, value, event.amount or ZERO)
        for event, value in counted
        if value is not None
    )
    return sorted(steps, key=lambda step: step.moment)


def _shown(fee: InstantFee, meter: Meter) -> dict[str, Any]:
    """Show a fee: a distinct value that comes again is shown, though it was paid before."""
    distinct = meter.aggregation is Aggregation.UNIQUE_COUNT
    return {
        "units": fee.units if distinct else fee.new_units,
        "amount_cents": round_minor(fee.amount, CURRENCY),
    }
