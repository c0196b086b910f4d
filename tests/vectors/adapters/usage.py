"""Cases of aggregations: events, folded by day as the log is, to the units of a period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any
from uuid import UUID

from libs.period import Period
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.carrying import carried, carried_level
from services.rating.domain.cell import ZERO, Cell, merged
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import MICROSECOND, UsageEvent, micros
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.folding import fold
from services.rating.domain.high_water import HighWater, instant_usage
from services.rating.domain.meter import Meter
from services.rating.domain.reading import number_of
from services.rating.domain.usage import Span, units
from tests.vectors.adapters.recorded import (
    CUSTOMER,
    EVENT_TYPE,
    TENANT,
    UTC_ZONE,
    events_of,
    groups_of,
    in_order,
    meter_of,
    period_of,
    time_of,
    with_dimensions,
)
from tests.vectors.given import Given

Outcome = dict[str, Any]
Filters = Sequence[DimensionFilter]
DAY = timedelta(days=1)
CENTS = 100


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events take part: those that all of `matching` match, and no set of `ignored`."""

    matching: Filters
    ignored: Sequence[Filters]

    @property
    def keys(self) -> list[str]:
        ignored = (each for filters in self.ignored for each in filters)
        return [each.key for each in (*self.matching, *ignored)]

    def take(self, dimensions: Mapping[str, str]) -> bool:
        """Tell whether events of these dimension values take part."""
        return _all_match(self.matching, dimensions) and not any(
            _all_match(filters, dimensions) for filters in self.ignored
        )


def aggregate(given: Given) -> Outcome:
    """Aggregate the events of a period, or one that is paid as it comes."""
    meter = meter_of(given)
    if given.has("pay_in_advance"):
        return _as_it_comes(given.inner("pay_in_advance"))
    within, span = _span_of(given.inner("period"))
    keys: list[str] = given.value("group_by") if given.has("group_by") else []
    chosen = _chosen(given)
    meter = with_dimensions(meter, dict.fromkeys([*keys, *chosen.keys]))
    events = events_of(given.each("events"))
    before, inside = _cells(events, meter, chosen, within)
    old = carried(before, meter, micros(within.start)) if meter.recurring else []
    if given.has("initial_units"):
        level = carried_level(given.decimal("initial_units"), meter, micros(within.start))
        old += [level] if level else []
    outcome: Outcome = {"running_total": _running_totals(given, events, meter, within)}
    if not keys:
        return {**outcome, **_usage(inside, old, meter, span)}
    groups = groups_of([*old, *inside], meter, keys) or {("",) * len(keys): Cell()}
    return {
        "groups": [
            {
                "key": {key: value or None for key, value in zip(keys, values, strict=True)},
                **_usage([usage], [], meter, span),
            }
            for values, usage in groups.items()
        ]
    }


def _usage(inside: Sequence[Cell], old: Sequence[Cell], meter: Meter, span: Span) -> Outcome:
    whole, new = merged([*old, *inside]), merged(inside)
    return {
        "units": units(whole, meter, span=span),
        "events_count": whole.event_count,
        "variation": new.total or ZERO,
        "total_units": whole.total or ZERO,
        "precise_total_amount_cents": (new.amount or ZERO) * CENTS,
    }


def _span_of(period: Given) -> tuple[Period, Span]:
    """Read a period; the whole one may be longer."""
    within = period_of(period)
    whole = within.end - within.start
    if period.has("full_period_days"):
        whole = period.value("full_period_days") * DAY
    return within, Span(micros(within.end), whole // MICROSECOND)


def _cells(
    events: Sequence[UsageEvent], meter: Meter, chosen: Chosen, within: Period
) -> tuple[list[Cell], list[Cell]]:
    """Fold events; return the cells of the days before a period, and of its own."""
    columns = columns_of(events)
    term = Term(UUID(int=1), "", 0, False, UTC_ZONE, 0, None, frozenset({EVENT_TYPE}))
    catalog = Catalog(1, {EVENT_TYPE: [meter]}, {CUSTOMER: [term]})
    before: list[Cell] = []
    inside: list[Cell] = []
    first, end = _day(within.start), _day(within.end)
    for key, cell in fold([Slice(0, 0, 1, 0, "", columns)], {TENANT: catalog}).cells.items():
        names = [each.key for each in meter.dimensions]
        if chosen.take(dict(zip(names, cell.dimensions, strict=True))) and key.day < end:
            (before if key.day < first else inside).append(cell)
    return before, inside


def _day(midnight: datetime) -> date:
    """Return the day that begins at `midnight`, which is all that cells can tell of."""
    if midnight.time() != time.min:
        raise ValueError(f"{midnight} is within a day")
    return midnight.date()


def _chosen(given: Given) -> Chosen:
    if not given.has("filters"):
        return Chosen((), ())
    filters = given.inner("filters")
    ignored = filters.value("ignore") if filters.has("ignore") else []
    return Chosen(_filters(filters.value("match")), [_filters(each) for each in ignored])


def _filters(named: Mapping[str, Sequence[str]]) -> Filters:
    return [DimensionFilter(key, frozenset(values)) for key, values in named.items()]


def _all_match(filters: Filters, dimensions: Mapping[str, str]) -> bool:
    return all(each.matches(dimensions.get(each.key, "")) for each in filters)


def _running_totals(
    given: Given, events: Sequence[UsageEvent], meter: Meter, within: Period
) -> list[Decimal]:
    """Return the sums after each of the events that may be free: so many, or up to an amount."""
    count = "free_units_per_events"
    free_events = given.value(count) if given.has(count) else None
    free_amount = given.find_decimal("free_units_per_total_aggregation")
    values = [
        value
        for event in in_order(events)
        if time_of(event) < within.end and (meter.recurring or time_of(event) in within)
        if (value := number_of(event, meter)) is not None
    ]
    return list(_while_free(accumulate(values), free_events, free_amount))


def _while_free(
    totals: Iterator[Decimal], free_events: int | None, free_amount: Decimal | None
) -> Iterator[Decimal]:
    for count, total in enumerate(totals, 1):
        yield total
        if count == free_events or (free_amount is not None and total > free_amount):
            return


def _as_it_comes(event: Given) -> Outcome:
    """Say what one event is billed, of which the highest level so far is paid."""
    mark = HighWater()
    if event.value("state") is not None:
        state = event.inner("state")
        mark = HighWater(state.decimal("current"), state.decimal("max"))
    if event.has("current_usage"):
        total = event.decimal("total_units")
        if not event.value("current_usage"):
            raise ValueError("only the current usage is told")
        billed = instant_usage(total, mark.level, mark.highest, days=1, of_days=1)
        return {"billed_units": billed, "displayed_units": total}
    return {"billable_units": mark.rise(_change(event))}


def _change(event: Given) -> Decimal:
    """Return by how much an event changes the level: its value, or one more distinct value."""
    if event.has("event_value"):
        return event.decimal("event_value")
    if event.text("operation") != "add":
        raise ValueError(f"the operation {event.text('operation')} is unknown here")
    return Decimal(not event.value("value_active"))
