"""Whole stories: events that come step by step, and what their usage costs at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from libs.money import round_minor
from libs.period import DayPeriod, Period, local_day
from services.invoicing.domain.tax import Tax, tax_lines
from services.rating.domain.calendar import BillingTime, Calendar
from services.rating.domain.cell import merged
from services.rating.domain.counting import cell_of
from services.rating.domain.day_counts import days_between
from services.rating.domain.dynamic import DynamicPrice, rate_dynamic
from services.rating.domain.event import Moment, UsageEvent, instant_of, micros
from services.rating.domain.graduated_percentage import GraduatedPercentagePrice
from services.rating.domain.instant import InstantPrice, prorated_steps, replay
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.percentage import PercentagePrice, rate_events
from services.rating.domain.plan import Interval, IntervalUnit
from services.rating.domain.price import GraduatedPrice, Row, StandardPrice, amount_of, rate
from services.rating.domain.prorated_graduated import rate_prorated_graduated
from services.rating.domain.prorated_sum import sum_entries
from services.rating.domain.prorated_unique import unique_entries
from services.rating.domain.proration import BilledDays, Entry, billed_days
from services.rating.domain.reading import number_of
from services.rating.domain.usage import Span, units
from services.rating.domain.value import text_of
from tests.vectors.adapters.instant import steps_of
from tests.vectors.adapters.prices import ZERO, model_of, total_of
from tests.vectors.adapters.recorded import (
    CURRENCY,
    UTC_ZONE,
    day_of,
    events_of,
    histories_of,
    in_order,
    instant,
    meter_of,
    time_of,
)
from tests.vectors.given import Given

DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Charge:
    """A charge, with what it says of its events."""

    price: InstantPrice
    prorated: bool
    in_advance: bool
    group_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Window:
    """What a step looks at: a month, the days of it that are billed, and when events count."""

    whole: DayPeriod
    fee_days: DayPeriod
    usage: Period

    @property
    def end(self) -> datetime:
        """The first instant behind; the day of a termination is billed as a whole."""
        return self.fee_days.instants(UTC_ZONE).end

    @property
    def billed(self) -> BilledDays:
        days = self.whole.days
        return billed_days(self.usage, UTC_ZONE, of_days=days, fee_days=self.fee_days)


def run_scenario(given: Given) -> dict[str, Any]:
    """Take in the events of each step, and show what its period costs then."""
    if given.text("currency") != CURRENCY:
        raise ValueError(f"the currency {given.text('currency')} is unknown here")
    meter, charge = meter_of(given), _charge(given.inner("charge"))
    subscription = given.inner("subscription")
    tax = Tax("t", "t", given.find_decimal("tax_rate_percent") or ZERO)
    log: list[UsageEvent] = []
    steps = []
    for step in given.each("steps"):
        log += events_of(step.each("ingest"), first=len(log))
        window = _window(subscription, step.text("do"), instant(step.text("at")))
        steps.append(_shown(charge, meter, _counted(log, meter, window), window, tax))
    return {"steps": steps}


def _charge(charge: Given) -> _Charge:
    def has(key: str) -> bool:
        return charge.has(key) and bool(charge.value(key))

    keys = charge.value("pricing_group_keys") if charge.has("pricing_group_keys") else ()
    return _Charge(model_of(charge), has("prorated"), has("pay_in_advance"), tuple(keys))


def _window(subscription: Given, action: str, at: datetime) -> _Window:
    if action not in {"usage", "bill", "terminate"}:
        raise ValueError(f"the action {action} is unknown")
    start = instant(subscription.text("started_at"))
    first_day, day = local_day(start, UTC_ZONE), local_day(at, UTC_ZONE)
    billing_time = BillingTime(subscription.text("billing_time"))
    calendar = Calendar(Interval(IntervalUnit.MONTH), UTC_ZONE, billing_time, first_day)
    whole = calendar.whole(day)
    if action == "bill":
        whole = calendar.whole(whole.first_day - DAY)
    bounds = whole.instants(UTC_ZONE)
    ends = action == "terminate"
    return _Window(
        whole,
        DayPeriod(max(first_day, whole.first_day), day + DAY if ends else whole.end_day),
        Period(max(start, bounds.start), at if ends else bounds.end),
    )


def _counted(log: Sequence[UsageEvent], meter: Meter, window: _Window) -> list[UsageEvent]:
    """Return the events that count: of recurring meters all that there are before the end."""
    start = window.usage.start
    return [
        event
        for event in in_order(log)
        if time_of(event) < window.end and (meter.recurring or time_of(event) >= start)
    ]


def _shown(
    charge: _Charge, meter: Meter, events: Sequence[UsageEvent], window: _Window, tax: Tax
) -> dict[str, Any]:
    groups: dict[tuple[str, ...], list[UsageEvent]] = {}
    for event in events:
        group = tuple(text_of(event.properties.get(key)) for key in charge.group_keys)
        groups.setdefault(group, []).append(event)
    usages = list(groups.values()) or [[]]
    fees = [
        round_minor(amount_of(_priced(charge, meter, usage, window)), CURRENCY) for usage in usages
    ]
    cells = [cell for event in events if (cell := cell_of(event, meter)) is not None]
    return {
        "units": total_of([_units(meter, usage, window) for usage in usages]),
        "amount_cents": sum(fees),
        "total_amount_cents": sum(fee + tax_lines([fee], [[tax]]).amount_minor for fee in fees),
        "events_count": len(cells),
        "total_aggregated_units": merged(cells).total,
    }


def _units(meter: Meter, events: Sequence[UsageEvent], window: _Window) -> Decimal:
    if meter.aggregation is Aggregation.WEIGHTED_SUM:
        events = [_carried(event, micros(window.usage.start)) for event in events]
    cells = [cell for event in events if (cell := cell_of(event, meter)) is not None]
    bounds = window.whole.instants(UTC_ZONE)
    span = Span(micros(window.usage.end), micros(bounds.end) - micros(bounds.start))
    return units(merged(cells), meter, span=span)


def _carried(event: UsageEvent, start: int) -> UsageEvent:
    """Return the event as its level is there in the period: from its first instant on."""
    return replace(event, moment=event.moment._replace(time=max(event.moment.time, start)))


def _priced(
    charge: _Charge, meter: Meter, events: Sequence[UsageEvent], window: _Window
) -> Sequence[Row]:
    if charge.prorated and charge.in_advance:
        return _instant_rows(charge, meter, events, window)
    if charge.in_advance:
        return replay(charge.price, steps_of(events, meter))
    if charge.prorated:
        if not isinstance(charge.price, GraduatedPrice):
            raise ValueError("only graduated prices are prorated in arrears here")
        return rate_prorated_graduated(charge.price, _entries(meter, events, window.billed))
    quantity = _units(meter, events, window)
    match charge.price:
        case PercentagePrice():
            values = [value for event in events if (value := number_of(event, meter)) is not None]
            return rate_events(charge.price, values)
        case DynamicPrice():
            amounts = total_of([event.amount or ZERO for event in events])
            return rate_dynamic(charge.price, quantity, amounts)
        case GraduatedPercentagePrice():
            raise ValueError("graduated percentages are unknown here")
        case _:
            return rate(charge.price, quantity)


def _instant_rows(
    charge: _Charge, meter: Meter, events: Sequence[UsageEvent], window: _Window
) -> Sequence[Row]:
    if not isinstance(charge.price, StandardPrice):
        raise ValueError("only prices by unit are prorated in advance here")
    if any(time_of(event) < window.usage.start for event in events):
        raise ValueError("usage of earlier periods is billed with their renewal")

    def days_left(moment: Moment) -> int:
        return days_between(instant_of(moment.time), window.end - INSTANT, UTC_ZONE)

    steps = prorated_steps(steps_of(events, meter), days_left, of_days=window.whole.days)
    return replay(charge.price, steps)


def _entries(meter: Meter, events: Sequence[UsageEvent], billed: BilledDays) -> list[Entry]:
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        return unique_entries(histories_of(events, meter), billed)
    counted = ((day_of(event), number_of(event, meter)) for event in events)
    return sum_entries([(day, value) for day, value in counted if value is not None], billed)
