"""Events, meters and periods as cases give them, told to the domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.money import exponent
from libs.period import Period, local_day
from services.rating.domain.cell import Operation
from services.rating.domain.counting import OPERATION_PROPERTY, REMOVE
from services.rating.domain.event import EPOCH, Moment, UsageEvent, instant_of, micros
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.prorated_unique import DayOperation, day_operations
from services.rating.domain.reading import text_for
from tests.vectors.given import Given

CURRENCY = "EUR"
UTC_ZONE = ZoneInfo("UTC")


def meter_of(given: Given) -> Meter:
    """Read the meter that cases call a metric."""
    metric = given.inner("metric")
    return Meter(
        meter_id=UUID(int=1),
        code="m",
        name="m",
        event_type="e",
        aggregation=Aggregation(metric.text("aggregation")),
        value_property=metric.text("field_name") if metric.has("field_name") else "",
        dimensions=(),
        created_at=EPOCH,
        recurring=bool(metric.value("recurring")) if metric.has("recurring") else False,
    )


def with_dimensions(meter: Meter, keys: Iterable[str]) -> Meter:
    """Return the meter with dimensions that may have any value."""
    return replace(meter, dimensions=tuple(Dimension(key, ()) for key in keys))


def events_of(events: Iterable[Given], *, first: int = 0) -> list[UsageEvent]:
    """Read events in the order of the log, in which they begin at the place `first`."""
    return [_event(event, place) for place, event in enumerate(events, first)]


def _event(event: Given, place: int) -> UsageEvent:
    event.text("transaction_id")  # No case has one twice.
    cents = event.find_decimal("precise_total_amount_cents")
    return UsageEvent(
        tenant=1,
        customer_id="c",
        subscription_id="",
        type="e",
        moment=Moment(micros(instant(event.text("timestamp"))), 0, 0, place),
        properties=event.value("properties"),
        amount=None if cents is None else cents.scaleb(-exponent(CURRENCY)),
    )


def instant(text: str) -> datetime:
    """Read an instant."""
    return datetime.fromisoformat(text).astimezone(UTC)


def period_of(period: Given) -> Period:
    """Read the instants of a period."""
    return Period(instant(period.text("from")), instant(period.text("to")))


def time_of(event: UsageEvent) -> datetime:
    """Return the instant of an event."""
    return instant_of(event.moment.time)


def day_of(event: UsageEvent) -> date:
    """Return the day of an event in UTC, in which cases count days."""
    return local_day(time_of(event), UTC_ZONE)


def operation_of(event: UsageEvent) -> Operation:
    """Return whether an event adds or removes its value."""
    return Operation(event.moment, event.properties.get(OPERATION_PROPERTY) != REMOVE)


def in_order(events: Iterable[UsageEvent]) -> list[UsageEvent]:
    """Return events in the order of time, and at one instant of the log."""
    return sorted(events, key=lambda event: event.moment)


def histories_of(events: Sequence[UsageEvent], meter: Meter) -> list[list[DayOperation]]:
    """Return what happened to each distinct value, day by day."""
    operations: dict[str, list[tuple[date, Operation]]] = {}
    for event in in_order(events):
        if text := text_for(event, meter):
            operations.setdefault(text, []).append((day_of(event), operation_of(event)))
    return [day_operations(of_value) for of_value in operations.values()]
