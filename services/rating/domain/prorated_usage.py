"""Prorated usage: what a recurring meter's cells, or single events, come to by their days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from operator import attrgetter

from libs.money import exact_sum
from libs.period import local_day
from services.rating.domain.carrying import BEFORE
from services.rating.domain.cell import ZERO, Cell, Operation, Presence, both
from services.rating.domain.event import instant_of
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.prorated_sum import prorated_sum, sum_entries
from services.rating.domain.prorated_unique import (
    DayOperation,
    day_operations,
    prorated_unique_count,
    unique_entries,
)
from services.rating.domain.proration import Entry, Prorated
from services.rating.domain.rounding import round_units
from services.rating.domain.single_events import EventsNotRead, SingleEvent
from services.rating.domain.usage import Billed

Histories = dict[bytes, list[DayOperation]]


def prorated_units(cells: Iterable[Cell], meter: Meter, billed: Billed) -> Prorated:
    """Return the units of `cells` by day, those carried included, weighed by their days.

    They are rounded up to 5 places, then as the meter says; the full units as it says.
    """
    if meter.aggregation is Aggregation.SUM:
        day_sums = [(_day(cell), cell.total or ZERO) for cell in cells]
        exact = prorated_sum(day_sums, billed.days)
    else:
        exact = prorated_unique_count(_histories(cells).values(), billed.days)
    full = round_units(exact.full_units, meter.rounding)
    return Prorated(round_units(exact.units, meter.rounding), full)


def prorated_entries(
    cells: Sequence[Cell], meter: Meter, billed: Billed, events: Sequence[SingleEvent] | None
) -> list[Entry]:
    """Return what a graduated price sees: first what was carried, then `events` by time.

    Raises:
        EventsNotRead: they are not known, or not those that the cells have counted.
    """
    if events is None:
        raise EventsNotRead("a prorated price looks at single events, which were not read")
    ordered = sorted(events, key=attrgetter("moment"))
    before = [cell for cell in cells if _day(cell) == BEFORE]
    _check_counted(ordered, [cell for cell in cells if _day(cell) != BEFORE], meter)
    days = [local_day(instant_of(event.moment.time), billed.zone) for event in ordered]
    if meter.aggregation is Aggregation.SUM:
        values = [(BEFORE, cell.total or ZERO) for cell in before]
        values += [(day, event.value) for day, event in zip(days, ordered, strict=True)]
        return sum_entries(values, billed.days)
    histories = _histories(before)
    operations: dict[bytes, list[tuple[date, Operation]]] = {}
    for day, event in zip(days, ordered, strict=True):
        operation = Operation(event.moment, event.value > 0)
        operations.setdefault(event.value_key, []).append((day, operation))
    for key, of_value in operations.items():
        histories.setdefault(key, []).extend(day_operations(of_value))
    return unique_entries(histories.values(), billed.days)


def _histories(cells: Iterable[Cell]) -> Histories:
    """Return the days of each value in their order, what all cells know of a day together."""
    by_value: dict[bytes, dict[date, Presence]] = {}
    for cell in cells:
        day = _day(cell)
        for key, presence in cell.values.items():
            days = by_value.setdefault(key, {})
            days[day] = both(days[day], presence) if day in days else presence
    return {
        key: [_day_operation(day, days[day]) for day in sorted(days)]
        for key, days in by_value.items()
    }


def _day_operation(day: date, presence: Presence) -> DayOperation:
    return DayOperation(day, presence.added, None if presence.present else presence.moment)


def _day(cell: Cell) -> date:
    assert cell.day is not None, "prorated usage is read by day"
    return cell.day


def _check_counted(events: Sequence[SingleEvent], cells: Sequence[Cell], meter: Meter) -> None:
    counted = sum(cell.event_count for cell in cells)
    quantity, total = ZERO, ZERO
    if meter.aggregation is Aggregation.SUM:
        quantity = exact_sum(cell.total or ZERO for cell in cells)
        total = exact_sum(event.value for event in events)
    if (len(events), total) != (counted, quantity):
        said = f"{counted} events of {quantity} units"
        raise EventsNotRead(f"{said} are counted, {len(events)} of {total} are in the log")
