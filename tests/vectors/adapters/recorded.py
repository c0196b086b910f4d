"""Events and metrics as cases give them, told to the domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from libs.money import exponent
from libs.period import Period
from services.rating.domain import counting
from services.rating.domain.cell import Cell
from services.rating.domain.counting import OPERATION_PROPERTY, REMOVE
from services.rating.domain.event import Moment, UsageEvent, micros
from services.rating.domain.meter import Aggregation, Dimension, Meter, ValueInput
from services.rating.domain.rounding import Rounding, RoundingMode
from services.rating.domain.value import parse_value, text_of
from tests.vectors.given import Given

CURRENCY = "EUR"
ONE = Decimal(1)
TENANT, CUSTOMER, EVENT_TYPE = 1, "customer", "used"
NO_ID = UUID(int=0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted, and in which property; "" where events are counted."""

    aggregation: str
    field_name: str
    recurring: bool
    rounding: Rounding | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in the log; `amount` is its own, in currency units."""

    time: datetime
    moment: Moment
    properties: Mapping[str, str]
    amount: Decimal | None

    @property
    def removes(self) -> bool:
        return self.properties.get(OPERATION_PROPERTY) == REMOVE

    def value(self, metric: Metric) -> Decimal | None:
        """Return the number that `metric` counts, None if there is none."""
        if metric.aggregation == "count":
            return ONE
        return parse_value(self.properties.get(metric.field_name))

    def text(self, metric: Metric) -> str:
        """Return the distinct value that `metric` counts, "" if there is none."""
        return text_of(self.properties.get(metric.field_name))


def metric_of(given: Given) -> Metric:
    """Read what `given` says of its metric."""
    metric = given.inner("metric")
    field_name = metric.text("field_name") if metric.has("field_name") else ""
    recurring = bool(metric.value("recurring")) if metric.has("recurring") else False
    rounding = None
    if metric.has("rounding_function"):
        mode = RoundingMode(metric.text("rounding_function"))
        rounding = Rounding(mode, int(metric.value("rounding_precision")))
    return Metric(metric.text("aggregation"), field_name, recurring, rounding)


def events_of(events: Iterable[Given], *, first: int = 0) -> list[Recorded]:
    """Read events in the order of the log, in which they begin at the place `first`.

    Of those with one id there is only the first in the log.
    """
    found: dict[str, Recorded] = {}
    for place, event in enumerate(events, first):
        cents = "precise_total_amount_cents"
        amount = event.decimal(cents) if event.has(cents) else None
        time = instant(event.text("timestamp"))
        recorded = Recorded(
            time=time,
            moment=Moment(micros(time), 0, 0, place),
            properties=event.value("properties"),
            amount=None if amount is None else amount.scaleb(-exponent(CURRENCY)),
        )
        found.setdefault(event.text("transaction_id"), recorded)
    return list(found.values())


def instant(text: str) -> datetime:
    """Read an instant."""
    return datetime.fromisoformat(text).astimezone(UTC)


def period_of(period: Given) -> Period:
    """Read the instants of a period."""
    return Period(instant(period.text("from")), instant(period.text("to")))


def meter_of(metric: Metric, dimensions: Sequence[str]) -> Meter:
    """Return the meter that counts what `metric` does; the levels of cases are told as changes."""
    aggregation = Aggregation(metric.aggregation)
    return Meter(
        meter_id=NO_ID,
        code=EVENT_TYPE,
        name=EVENT_TYPE,
        event_type=EVENT_TYPE,
        aggregation=aggregation,
        value_property=metric.field_name,
        dimensions=tuple(Dimension(key, ()) for key in dimensions),
        created_at=EPOCH,
        rounding=metric.rounding,
        value_input=ValueInput.DELTA if aggregation is Aggregation.WEIGHTED_SUM else None,
        recurring=metric.recurring,
    )


def usage_event(event: Recorded) -> UsageEvent:
    """Return the event as rating reads it."""
    return UsageEvent(
        tenant=TENANT,
        customer_id=CUSTOMER,
        subscription_id="",
        type=EVENT_TYPE,
        moment=event.moment,
        properties=event.properties,
        amount=event.amount,
    )


def cell_of(event: Recorded, metric: Metric, dimensions: Sequence[str]) -> Cell | None:
    """Return a cell of one event, None if the metric does not count it."""
    return counting.cell_of(usage_event(event), meter_of(metric, dimensions))
