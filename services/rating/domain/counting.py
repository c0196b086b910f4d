"""Counting: what a meter sees in many events of its type, as cells."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import repeat

import numpy as np

from services.rating.domain.attribution import Term
from services.rating.domain.batch import Batch, Flags, Numbers
from services.rating.domain.cell import (
    Cell,
    CellKey,
    Level,
    Presence,
    added,
    dimensions_key,
    value_key,
)
from services.rating.domain.columns import Ints, read_amount, tuples
from services.rating.domain.event import Moment, UsageEvent
from services.rating.domain.grouping import Groups, combine, group
from services.rating.domain.meter import Aggregation, Meter, ValueInput
from services.rating.domain.reading import number_of, numbers_of, text_for, texts_of
from services.rating.domain.reducing import Seen, count_values, reduce, take_one
from services.rating.domain.value import text_of

OPERATION_PROPERTY = "operation_type"
REMOVE = "remove"
FEW = 8  # So many rows are counted faster one by one.

Add = Callable[[CellKey, Cell], None]


@dataclass(frozen=True, slots=True)
class Rows:
    """Events of one tenant and type that somebody's plan charges.

    `rows` of the batch; for each of them the place of its term in `terms`, and its local day.
    """

    batch: Batch
    rows: Ints
    terms: Sequence[Term]
    of_row: Ints
    days: Ints

    def take(self, places: Ints) -> Rows:
        """Return some of them."""
        rows, of_row, days = self.rows[places], self.of_row[places], self.days[places]
        return Rows(self.batch, rows, self.terms, of_row, days)


def count_rows(chosen: Rows, meter: Meter, add: Add) -> int:
    """Add what `meter` sees in `chosen` to its cells; return how many had no value for it."""
    if len(chosen.rows) <= FEW:
        return count_singly(chosen, meter, add)
    return count_columns(chosen, meter, add)


def count_columns(chosen: Rows, meter: Meter, add: Add) -> int:
    """Do so with all events at once; `chosen` is not empty."""
    match meter.aggregation:
        case Aggregation.COUNT:
            _add_all(*_cells(chosen, meter, group(_cell_codes(chosen, meter))), add)
            return 0
        case Aggregation.UNIQUE_COUNT:
            return _count_distinct(chosen, meter, add)
        case _:
            return _count_numbers(chosen, meter, add)


def count_singly(chosen: Rows, meter: Meter, add: Add) -> int:
    """Do so event by event: for few, and for numbers too large for a column."""
    without_value = 0
    batch = chosen.batch
    columns = (chosen.rows.tolist(), chosen.of_row.tolist(), chosen.days.tolist())
    for row, term, day in zip(*columns, strict=True):
        event = batch.event(row)
        cell = cell_of(event, meter)
        if cell is None:
            without_value += 1
            continue
        traceparent = batch.slices[int(batch.pieces[row])].traceparent
        cell.mark(event.moment.time, event.moment.number, traceparent)
        add(_key(event.tenant, chosen.terms[term], meter, day, cell.dimensions), cell)
    return without_value


def cell_of(event: UsageEvent, meter: Meter) -> Cell | None:
    """Return a cell of one event, None if it has no value."""
    properties = event.properties
    cell = Cell(
        dimensions=tuple(text_of(properties.get(each.key)) for each in meter.dimensions),
        event_count=1,
        amount=event.amount,
    )
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        text = text_for(event, meter)
        if not text:
            return None
        present = is_added(event)
        came = event.moment if present and meter.recurring else None
        cell.add_value(value_key(text), Presence(event.moment, present, came))
    elif meter.aggregation is not Aggregation.COUNT:
        value = number_of(event, meter)
        if value is None:
            return None
        take_one(cell, meter, value, event.moment)
    return cell


def is_added(event: UsageEvent) -> bool:
    """Tell whether an event adds its distinct value; else it removes it."""
    return event.properties.get(OPERATION_PROPERTY) != REMOVE


def _count_numbers(chosen: Rows, meter: Meter, add: Add) -> int:
    """Count numbers; those too large for a column one by one."""
    numbers = numbers_of(chosen.batch, chosen.rows, meter)
    known = np.flatnonzero(numbers.known[chosen.rows])
    odd = np.flatnonzero(numbers.odd[chosen.rows])
    without_value = len(chosen.rows) - len(known) - len(odd)
    without_value += count_singly(chosen.take(odd), meter, add)
    if len(known):
        _add_numbers(chosen.take(known), numbers, meter, add)
    return without_value


def _add_numbers(chosen: Rows, numbers: Numbers, meter: Meter, add: Add) -> None:
    batch, rows = chosen.batch, chosen.rows
    of_cells = group(_cell_codes(chosen, meter))
    keys, cells = _cells(chosen, meter, of_cells)
    places = of_cells.places()
    seen = Seen(places, numbers.mantissas[rows], numbers.exponents[rows], batch.times[rows])
    match meter.aggregation:
        case Aggregation.LATEST:
            for last in _latest(batch, rows, places).tolist():
                cell, moment = cells[int(places[last])], batch.moment(int(rows[last]))
                cell.latest, cell.latest_moment = seen.value(last), moment
        case Aggregation.PERCENTILE:
            count_values(seen, cells)
        case Aggregation.WEIGHTED_SUM if meter.value_input is ValueInput.LEVEL:
            times = np.unique(seen.times, return_inverse=True)[1]
            for last in _latest(batch, rows, combine([places, times])).tolist():
                level = Level(batch.moment(int(rows[last])), seen.value(last))
                cells[int(places[last])].add_level(level)
        case _:
            reduce(seen, cells, meter)
    _add_all(keys, cells, add)


def _count_distinct(chosen: Rows, meter: Meter, add: Add) -> int:
    """Keep the last operation on each distinct value, and the first that adds it, if recurring."""
    batch = chosen.batch
    texts = texts_of(batch, chosen.rows, meter)
    has_value = np.flatnonzero(texts[chosen.rows])
    without_value = len(chosen.rows) - len(has_value)
    if not len(has_value):
        return without_value
    chosen = chosen.take(has_value)
    values = texts[chosen.rows]
    removed = batch.texts(OPERATION_PROPERTY)[chosen.rows] == batch.strings.place(REMOVE)
    of_cells = group(_cell_codes(chosen, meter))
    places = of_cells.places()
    of_value = combine([places, values])
    lasts = _latest(batch, chosen.rows, of_value)
    came = _first_added(chosen, of_value, ~removed) if meter.recurring else {}
    keys, cells = _cells(chosen, meter, of_cells)
    listed = batch.listed()
    value_keys = [value_key(listed[value]) for value in values[lasts].tolist()]
    moments = batch.moments(chosen.rows[lasts])
    added = map(came.get, of_value[lasts].tolist())
    presences = list(tuples(Presence, moments, (~removed[lasts]).tolist(), added))
    # Of one cell they follow each other.
    ends = np.searchsorted(places[lasts], np.arange(len(cells)), side="right").tolist()
    for cell, start, end in zip(cells, [0, *ends], ends, strict=False):
        cell.values = dict(zip(value_keys[start:end], presences[start:end], strict=True))
    _add_all(keys, cells, add)
    return without_value


def _first_added(chosen: Rows, codes: Ints, adds: Flags) -> dict[int, Moment]:
    """Return the moment of the first event of each code that adds, by code."""
    rows, codes = chosen.rows[adds], codes[adds]
    if not len(rows):
        return {}
    firsts = _in_order(chosen.batch, rows, codes).firsts()
    moments = chosen.batch.moments(rows[firsts])
    return dict(zip(codes[firsts].tolist(), moments, strict=True))


def _latest(batch: Batch, rows: Ints, codes: Ints) -> Ints:
    """Return the place in `rows` of the latest event of each code, by ascending code."""
    groups = group(codes)
    times = batch.times[rows]
    greatest = np.repeat(groups.maxima(times), groups.sizes())
    last: Ints = groups.order[times[groups.order] == greatest]
    if len(last) > len(groups):  # Of equal times, the log's order tells.
        last = last[_in_order(batch, rows[last], codes[last]).lasts()]
    return last


def _in_order(batch: Batch, rows: Ints, codes: Ints) -> Groups:
    """Group `rows` of equal codes, each group in the order of time and log."""
    log_places = [column[rows] for column in batch.log_places]
    return group(codes, then_by=[batch.times[rows], *log_places])


def _add_all(keys: Iterable[CellKey], cells: Iterable[Cell], add: Add) -> None:
    for key, cell in zip(keys, cells, strict=True):
        add(key, cell)


def _cell_codes(chosen: Rows, meter: Meter) -> Ints:
    """Return codes, equal for events of one cell."""
    dimensions = [chosen.batch.texts(each.key)[chosen.rows] for each in meter.dimensions]
    return combine([chosen.of_row, chosen.days - chosen.days.min(), *dimensions])


def _cells(chosen: Rows, meter: Meter, groups: Groups) -> tuple[list[CellKey], list[Cell]]:
    """Return the key and the cell of each group, with all that every meter counts."""
    batch = chosen.batch
    tenant = int(batch.tenants[chosen.rows[0]])
    firsts = groups.firsts()
    dimensions = _dimensions(batch, chosen.rows[firsts], meter)
    known = {values: dimensions_key(values) for values in set(dimensions)}
    keys = tuples(
        CellKey,
        repeat(tenant),
        [chosen.terms[term].term_id for term in chosen.of_row[firsts].tolist()],
        repeat(meter.meter_id),
        map(_date, chosen.days[firsts].tolist()),
        [known[values] for values in dimensions],
    )
    cells = list(map(Cell, dimensions, groups.sizes().tolist()))
    columns = zip(
        cells,
        groups.maxima(batch.times[chosen.rows]).tolist(),
        [batch.ranked[rank] for rank in groups.maxima(batch.ranks[chosen.rows]).tolist()],
        _amounts(chosen, groups),
        strict=True,
    )
    for cell, last_time, piece, amount in columns:
        cell.last_time, cell.amount = last_time, amount
        cell.slice_number, cell.traceparent = piece.number, piece.traceparent
    return list(keys), cells


def _dimensions(batch: Batch, rows: Ints, meter: Meter) -> list[tuple[str, ...]]:
    """Return the dimension values of each of `rows`."""
    if not meter.dimensions:
        return [()] * len(rows)
    columns = [batch.texts(each.key)[rows].tolist() for each in meter.dimensions]
    texts = batch.listed()
    return list(zip(*([texts[place] for place in column] for column in columns), strict=True))


def _amounts(chosen: Rows, groups: Groups) -> list[Decimal | None]:
    """Return the sum of the events' own amounts in each group, None where no event has one."""
    places = chosen.batch.amounts[chosen.rows]
    if not places.any():
        return [None] * len(groups)
    texts = (chosen.batch.text(place) for place in places[groups.order].tolist())
    amounts = [read_amount(text) for text in texts]
    ends = [*groups.starts[1:].tolist(), len(amounts)]
    parts = zip(groups.starts.tolist(), ends, strict=True)
    return [functools.reduce(added, amounts[start:end]) for start, end in parts]


def _key(tenant: int, term: Term, meter: Meter, day: int, dimensions: tuple[str, ...]) -> CellKey:
    return CellKey(tenant, term.term_id, meter.meter_id, _date(day), dimensions_key(dimensions))


_date = functools.lru_cache(maxsize=4_096)(date.fromordinal)
