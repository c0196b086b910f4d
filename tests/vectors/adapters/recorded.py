"""Events and metrics as cases give them, told to the domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from libs.money import exponent
from libs.period import Period
from services.rating.domain.cell import Cell, Operation, value_key
from services.rating.domain.counting import OPERATION_PROPERTY, REMOVE
from services.rating.domain.event import Moment, micros
from services.rating.domain.meter import Aggregation
from services.rating.domain.value import parse_value, text_of
from tests.vectors.given import Given

CURRENCY = "EUR"
ONE, ZERO = Decimal(1), Decimal(0)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted, and in which property; "" where events are counted."""

    aggregation: str
    field_name: str
    recurring: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in the log; `amount` is its own, in currency units."""

    time: datetime
    moment: Moment
    properties: Mapping[str, str]
    amount: Decimal

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
    return Metric(metric.text("aggregation"), field_name, recurring)


def events_of(events: Iterable[Given], *, first: int = 0) -> list[Recorded]:
    """Read events in the order of the log, in which they begin at the place `first`."""
    found = []
    for place, event in enumerate(events, first):
        event.text("transaction_id")  # No case has one twice.
        cents = "precise_total_amount_cents"
        amount = event.decimal(cents) if event.has(cents) else ZERO
        time = instant(event.text("timestamp"))
        found.append(
            Recorded(
                time=time,
                moment=Moment(micros(time), 0, 0, place),
                properties=event.value("properties"),
                amount=amount.scaleb(-exponent(CURRENCY)),
            )
        )
    return found


def instant(text: str) -> datetime:
    """Read an instant."""
    return datetime.fromisoformat(text).astimezone(UTC)


def period_of(period: Given) -> Period:
    """Read the instants of a period."""
    return Period(instant(period.text("from")), instant(period.text("to")))


def cell_of(event: Recorded, metric: Metric, dimensions: Sequence[str]) -> Cell | None:
    """Return a cell of one event, None if the metric does not count it."""
    cell = Cell(dimensions=tuple(text_of(event.properties.get(key)) for key in dimensions))
    aggregation = Aggregation(metric.aggregation)
    if aggregation is Aggregation.COUNT:
        cell.event_count = 1
    elif aggregation is Aggregation.UNIQUE_COUNT:
        if not event.text(metric):
            return None
        cell.add_value(value_key(event.text(metric)), Operation(event.moment, not event.removes))
    else:
        value = event.value(metric)
        if value is None:
            return None
        cell.add_number(aggregation, value, event.moment)
    return cell
