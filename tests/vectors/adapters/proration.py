"""Recurring usage weighed by days: of whole periods, and of events that are paid as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from libs.period import local_day
from services.rating.domain.cell import Operation
from services.rating.domain.day_counts import days_between
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.high_water import HighWater, instant_usage, prorated_rise
from services.rating.domain.price import GraduatedPrice, amount_of
from services.rating.domain.prorated_graduated import rate_prorated_graduated
from services.rating.domain.prorated_sum import prorated_sum, sum_entries
from services.rating.domain.prorated_unique import (
    DayOperation,
    day_operations,
    prorated_unique_count,
    unique_entries,
)
from services.rating.domain.proration import BilledDays, Entry, billed_days, prorate
from services.rating.domain.value import text_of
from tests.vectors.adapters.prices import per_unit, tiers_of, total_of
from tests.vectors.adapters.recorded import (
    Metric,
    Recorded,
    events_of,
    instant,
    metric_of,
    period_of,
)
from tests.vectors.given import Given

UTC_ZONE = ZoneInfo("UTC")
INSTANT = timedelta(microseconds=1)
Outcome = dict[str, Any]
Usage = Callable[[Sequence[Recorded], Metric, BilledDays], Outcome]
Change = Callable[[Given], Decimal]


def sum_usage(given: Given) -> Outcome:
    """Prorate sums."""
    return _prorated(given, _sum, lambda event: event.decimal("event_value"))


def unique_usage(given: Given) -> Outcome:
    """Prorate counts of distinct values."""
    return _prorated(given, _unique_count, _unique_change)


def graduated_price(given: Given) -> Outcome:
    """Price entries of units, given in full and weighed, by tiers."""
    charge = given.inner("charge")
    if charge.text("model") != "graduated":
        raise ValueError(f"the model {charge.text('model')} is unknown here")
    pairs = zip(given.decimals("full"), given.decimals("prorated"), strict=True)
    entries = [Entry(full, Fraction(part) / Fraction(full)) for full, part in pairs]
    amount = amount_of(rate_prorated_graduated(GraduatedPrice(tiers_of(charge)), entries))
    units = total_of([entry.units for entry in entries])
    return {"amount": amount, "unit_amount": per_unit(amount, units)}


def _prorated(given: Given, usage: Usage, change: Change) -> Outcome:
    if given.has("current_usage_state"):
        return {"prorated_units": _so_far(given)}
    metric, period = metric_of(given), given.inner("period")
    within, of_days = period_of(period), int(period.value("full_period_days"))
    if given.has("pay_in_advance"):
        event = given.inner("pay_in_advance")
        first = instant(event.text("event_timestamp"))
        days = days_between(first, within.end - INSTANT, UTC_ZONE)
        rise = _high_water(event).rise(change(event))
        billable = prorated_rise(rise, days=days, of_days=of_days)
        return {"billable_units": billable, "full_units": rise}
    events = [event for event in _matching(given) if event.time < within.end]
    billed = billed_days(within, UTC_ZONE, of_days=of_days)
    if given.has("group_by"):
        keys = given.value("group_by")
        groups = _groups(events, keys).items()
        return {"groups": [{"key": dict(key), **usage(of, metric, billed)} for key, of in groups]}
    outcome = usage(events, metric, billed)
    if given.has("bill_full") and given.value("bill_full"):
        outcome["prorated_units"] = outcome["full_units"]
    return outcome


def _so_far(given: Given) -> Decimal:
    state = given.inner("current_usage_state")
    return instant_usage(
        state.decimal("displayed_units"),
        state.decimal("current"),
        state.decimal("max_prorated"),
        days=int(given.value("period_days")),
        of_days=int(given.value("full_period_days")),
    )


def _high_water(event: Given) -> HighWater:
    if event.value("state") is None:
        return HighWater()
    state = event.inner("state")
    return HighWater(state.decimal("current"), state.decimal("max"))


def _unique_change(event: Given) -> Decimal:
    """Return by how much an operation changes the count; some change nothing."""
    present = bool(event.value("value_active"))
    match event.text("operation"):
        case "add":
            return Decimal(not present)
        case "remove":
            return -Decimal(present)
        case operation:
            raise ValueError(f"the operation {operation} is unknown")


def _matching(given: Given) -> list[Recorded]:
    """Read the events that the filters, if there are any, let through."""
    named = given.inner("filters").value("match") if given.has("filters") else {}
    filters = [DimensionFilter(key, frozenset(values)) for key, values in named.items()]
    return [
        event
        for event in events_of(given.each("events"))
        if all(each.matches(text_of(event.properties.get(each.key))) for each in filters)
    ]


def _groups(
    events: Sequence[Recorded], keys: Sequence[str]
) -> Mapping[tuple[tuple[str, str], ...], list[Recorded]]:
    groups: dict[tuple[tuple[str, str], ...], list[Recorded]] = {}
    for event in events:
        groups.setdefault(tuple((key, event.properties[key]) for key in keys), []).append(event)
    return groups


def _sum(events: Sequence[Recorded], metric: Metric, billed: BilledDays) -> Outcome:
    in_order = sorted(events, key=lambda event: event.moment)
    values = [
        (local_day(event.time, UTC_ZONE), value)
        for event in in_order
        if (value := event.value(metric)) is not None
    ]
    usage, entries = prorated_sum(values, billed), sum_entries(values, billed)
    return {
        "prorated_units": usage.units,
        "full_units": usage.full_units,
        "events_count": len(values),
        "per_event": {
            "full": [entry.units for entry in entries],
            "prorated": [entry.prorated for entry in entries],
        },
    }


def _unique_count(events: Sequence[Recorded], metric: Metric, billed: BilledDays) -> Outcome:
    histories = histories_of(events, metric)
    usage, entries = prorated_unique_count(histories, billed), unique_entries(histories, billed)
    return {
        "prorated_units": usage.units,
        "full_units": usage.full_units,
        "per_event": {
            "full": [entry.units for entry in entries],
            "prorated": [prorate(entry.prorated, 1) for entry in entries],
        },
    }


def histories_of(events: Sequence[Recorded], metric: Metric) -> list[list[DayOperation]]:
    """Return what happened to each distinct value, day by day."""
    operations: dict[str, list[tuple[date, Operation]]] = {}
    for event in sorted(events, key=lambda event: event.moment):
        if event.text(metric):
            operation = Operation(event.moment, not event.removes)
            day = local_day(event.time, UTC_ZONE)
            operations.setdefault(event.text(metric), []).append((day, operation))
    return [day_operations(of_value) for of_value in operations.values()]
