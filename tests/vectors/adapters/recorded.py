"""Events, meters and periods as cases give them, told to the domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.money import exponent
from libs.period import Period, local_day
from services.rating.domain.cell import ZERO, Cell, Operation, merged
from services.rating.domain.counting import OPERATION_PROPERTY, REMOVE
from services.rating.domain.event import EPOCH, Moment, UsageEvent, instant_of, micros
from services.rating.domain.meter import Aggregation, Dimension, Meter, ValueInput
from services.rating.domain.plan import Charge
from services.rating.domain.price import StandardPrice
from services.rating.domain.prorated_unique import DayOperation, day_operations
from services.rating.domain.reading import text_for
from services.rating.domain.rounding import Rounding, RoundingMode
from services.rating.domain.usage_fees import parts_of
from tests.vectors.given import Given

CURRENCY = "EUR"
UTC_ZONE = ZoneInfo("UTC")
TENANT, CUSTOMER, EVENT_TYPE = 1, "c", "e"


def meter_of(given: Given) -> Meter:
    """Read the meter that cases call a metric."""
    metric = given.inner("metric")
    aggregation = Aggregation(metric.text("aggregation"))
    return Meter(
        meter_id=UUID(int=1),
        code="m",
        name="m",
        event_type=EVENT_TYPE,
        aggregation=aggregation,
        value_property=metric.text("field_name") if metric.has("field_name") else "",
        dimensions=(),
        created_at=EPOCH,
        recurring=bool(metric.value("recurring")) if metric.has("recurring") else False,
        value_input=ValueInput.DELTA if aggregation is Aggregation.WEIGHTED_SUM else None,
        rounding=_rounding(metric),
    )


def _rounding(metric: Given) -> Rounding | None:
    if not metric.has("rounding_function"):
        return None
    mode = RoundingMode(metric.text("rounding_function"))
    return Rounding(mode, int(metric.value("rounding_precision")))


def with_dimensions(meter: Meter, keys: Iterable[str]) -> Meter:
    """Return the meter with dimensions that may have any value."""
    return replace(meter, dimensions=tuple(Dimension(key, ()) for key in keys))


def events_of(events: Iterable[Given], *, first: int = 0) -> list[UsageEvent]:
    """Read events in the order of the log, in which they begin at the place `first`.

    Of those with one id only the first is in the log.
    """
    found: dict[str, UsageEvent] = {}
    for place, event in enumerate(events, first):
        found.setdefault(event.text("transaction_id"), _event(event, place))
    return list(found.values())


def _event(event: Given, place: int) -> UsageEvent:
    cents = event.find_decimal("precise_total_amount_cents")
    return UsageEvent(
        tenant=TENANT,
        customer_id=CUSTOMER,
        subscription_id="",
        type=EVENT_TYPE,
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


def groups_of(
    cells: Sequence[Cell], meter: Meter, keys: Sequence[str]
) -> dict[tuple[str, ...], Cell]:
    """Return the usage of each group that a charge by `keys` makes, by their values."""
    charge = Charge("c", meter.code, "", StandardPrice(ZERO), (), group_by=tuple(keys))
    return {
        tuple(value for _, value in key.group_values): merged(inside)
        for key, inside in parts_of(charge, meter, cells).items()
    }
