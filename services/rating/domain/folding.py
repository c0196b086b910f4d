"""Folding: from events of the log to what they add to the cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from libs.period import local_day
from services.rating.domain.attribution import Catalog, Term, attribute
from services.rating.domain.cell import Cell, CellKey, Operation, dimensions_key, value_key
from services.rating.domain.event import Slice, UsageEvent, instant_of
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.value import parse_value, text_of

OPERATION_PROPERTY = "operation_type"
REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Unattributed:
    """Events that no subscription's plan charges."""

    tenant: int
    customer_id: str
    event_type: str
    day: date  # In UTC.


@dataclass(slots=True)
class Folded:
    """What slices add: cells to merge into those stored, and what counted nowhere."""

    cells: dict[CellKey, Cell] = field(default_factory=dict)
    unattributed: Counter[Unattributed] = field(default_factory=Counter)
    ambiguous: int = 0
    without_value: int = 0  # Times that a meter found no value in an event of its type.
    event_count: int = 0


def fold(
    slices: Iterable[Slice], catalogs: Mapping[int, Catalog], *, into: Folded | None = None
) -> Folded:
    """Fold `slices`, with the catalog of every tenant in them, and add to `into` if it is given.

    The result does not depend on the order of events or slices, nor on how they are batched.
    """
    folded = Folded() if into is None else into
    for piece in slices:
        for event in piece.events:
            folded.event_count += 1
            catalog = catalogs[event.tenant]
            term, ambiguous = attribute(event, catalog)
            folded.ambiguous += ambiguous
            if term is None:
                day = instant_of(event.moment.time).date()
                which = Unattributed(event.tenant, event.customer_id, event.type, day)
                folded.unattributed[which] += 1
                continue
            day = local_day(instant_of(event.moment.time), term.zone)
            for meter in catalog.meters.get(event.type, ()):
                count(folded, event, meter, term, day=day, traceparent=piece.traceparent)
    return folded


def count(
    folded: Folded, event: UsageEvent, meter: Meter, term: Term, *, day: date, traceparent: str
) -> None:
    """Add what `meter` sees in `event` to its cell. An event without a value adds nothing."""
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        text = text_of(event.properties.get(meter.value_property))
        if not text:
            folded.without_value += 1
            return
        present = event.properties.get(OPERATION_PROPERTY) != REMOVE
        cell = _cell(folded, event, meter, term, day)
        cell.add_value(value_key(text), Operation(event.moment, present))
    elif meter.aggregation is Aggregation.COUNT:
        cell = _cell(folded, event, meter, term, day)
        cell.event_count += 1
    else:
        value = parse_value(event.properties.get(meter.value_property))
        if value is None:
            folded.without_value += 1
            return
        cell = _cell(folded, event, meter, term, day)
        cell.add_number(meter.aggregation, value, event.moment)
    cell.mark(event.moment.time, event.moment.number, traceparent)


def _cell(folded: Folded, event: UsageEvent, meter: Meter, term: Term, day: date) -> Cell:
    properties = event.properties
    values = tuple(text_of(properties.get(each.key)) for each in meter.dimensions)
    key = CellKey(event.tenant, term.term_id, meter.meter_id, day, dimensions_key(values))
    cell = folded.cells.get(key)
    if cell is None:
        cell = folded.cells[key] = Cell(dimensions=values)
    return cell
