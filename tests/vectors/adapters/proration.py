"""Recurring usage weighed by days: of whole periods, and of events that are paid as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from services.rating.domain.day_counts import days_between
from services.rating.domain.event import UsageEvent
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.high_water import HighWater, instant_usage, prorated_rise
from services.rating.domain.meter import Meter
from services.rating.domain.price import GraduatedPrice, amount_of
from services.rating.domain.prorated_graduated import rate_prorated_graduated
from services.rating.domain.prorated_sum import prorated_sum, sum_entries
from services.rating.domain.prorated_unique import (
    prorated_unique_count,
    unique_entries,
)
from services.rating.domain.proration import BilledDays, Entry, billed_days, prorate
from services.rating.domain.reading import number_of
from services.rating.domain.value import text_of
from tests.vectors.adapters.prices import per_unit, tiers_of, total_of
from tests.vectors.adapters.recorded import (
    UTC_ZONE,
    day_of,
    events_of,
    histories_of,
    in_order,
    instant,
    meter_of,
    period_of,
    time_of,
)
from tests.vectors.given import Given

INSTANT = timedelta(microseconds=1)
Outcome = dict[str, Any]
Usage = Callable[[Sequence[UsageEvent], Meter, BilledDays], Outcome]
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
    meter, period = meter_of(given), given.inner("period")
    within, of_days = period_of(period), int(period.value("full_period_days"))
    if given.has("pay_in_advance"):
        event = given.inner("pay_in_advance")
        first = instant(event.text("event_timestamp"))
        days = days_between(first, within.end - INSTANT, UTC_ZONE)
        rise = _high_water(event).rise(change(event))
        billable = prorated_rise(rise, days=days, of_days=of_days)
        return {"billable_units": billable, "full_units": rise}
    events = [event for event in _matching(given) if time_of(event) < within.end]
    billed = billed_days(within, UTC_ZONE, of_days=of_days)
    if given.has("group_by"):
        keys = given.value("group_by")
        groups = _groups(events, keys).items()
        return {"groups": [{"key": dict(key), **usage(of, meter, billed)} for key, of in groups]}
    outcome = usage(events, meter, billed)
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


def _matching(given: Given) -> list[UsageEvent]:
    """Read the events that the filters, if there are any, let through."""
    named = given.inner("filters").value("match") if given.has("filters") else {}
    filters = [DimensionFilter(key, frozenset(values)) for key, values in named.items()]
    return [
        event
        for event in events_of(given.each("events"))
        if all(each.matches(text_of(event.properties.get(each.key))) for each in filters)
    ]


def _groups(
    events: Sequence[UsageEvent], keys: Sequence[str]
) -> Mapping[tuple[tuple[str, str], ...], list[UsageEvent]]:
    groups: dict[tuple[tuple[str, str], ...], list[UsageEvent]] = {}
    for event in events:
        key = tuple((key, text_of(event.properties.get(key))) for key in keys)
        groups.setdefault(key, []).append(event)
    return groups


def _sum(events: Sequence[UsageEvent], meter: Meter, billed: BilledDays) -> Outcome:
    values = [
        (day_of(event), value)
        for event in in_order(events)
        if (value := number_of(event, meter)) is not None
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


def _unique_count(events: Sequence[UsageEvent], meter: Meter, billed: BilledDays) -> Outcome:
    histories = histories_of(events, meter)
    usage, entries = prorated_unique_count(histories, billed), unique_entries(histories, billed)
    return {
        "prorated_units": usage.units,
        "full_units": usage.full_units,
        "per_event": {
            "full": [entry.units for entry in entries],
            "prorated": [prorate(entry.prorated, 1) for entry in entries],
        },
    }
