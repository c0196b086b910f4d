"""Recurring usage weighed by days: of whole periods, and of events that are paid as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from libs.period import local_day
from services.rating.domain.day_counts import days_between
from services.rating.domain.high_water import HighWater, instant_usage, prorated_rise
from services.rating.domain.prorated_sum import prorated_sum, sum_entries
from services.rating.domain.proration import BilledDays, billed_days
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
    events = [event for event in events_of(given.each("events")) if event.time < within.end]
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
