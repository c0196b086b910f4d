"""Counting: what a meter sees in many events of its type, as cells."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

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
from services.rating.domain.columns import Ints, read_amount
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
            _add_cells(chosen, meter, add)
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
    codes = _cell_codes(chosen, meter)
    cells = list(_cells(chosen, meter, group(codes)))
    by_code = {code: cell for code, (_, cell) in zip(np.unique(codes).tolist(), cells, strict=True)}
    seen = Seen(codes, numbers.mantissas[rows], numbers.exponents[rows], batch.times[rows])
    match meter.aggregation:
        case Aggregation.LATEST:
            for last in _latest(batch, rows, codes).tolist():
                cell, moment = by_code[int(codes[last])], batch.moment(int(rows[last]))
                cell.latest, cell.latest_moment = seen.value(last), moment
        case Aggregation.PERCENTILE:
            count_values(seen, by_code)
        case Aggregation.WEIGHTED_SUM if meter.value_input is ValueInput.LEVEL:
            times = np.unique(seen.times, return_inverse=True)[1]
            for last in _latest(batch, rows, combine([codes, times])).tolist():
                level = Level(batch.moment(int(rows[last])), seen.value(last))
                by_code[int(codes[last])].add_level(level)
        case _:
            reduce(seen, by_code, meter)
    for key, cell in cells:
        add(key, cell)


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
    codes = _cell_codes(chosen, meter)
    of_value = combine([codes, values])
    lasts = _latest(batch, chosen.rows, of_value)
    came = _first_added(chosen, of_value, ~removed) if meter.recurring else {}
    cells = list(_cells(chosen, meter, group(codes)))
    by_code = dict(zip(np.unique(codes).tolist(), cells, strict=True))
    operations = zip(
        codes[lasts].tolist(),
        values[lasts].tolist(),
        batch.moments(chosen.rows[lasts]),
        removed[lasts].tolist(),
        of_value[lasts].tolist(),
        strict=True,
    )
    for code, value, moment, is_removed, which in operations:
        presence = Presence(moment, not is_removed, came.get(which))
        by_code[code][1].values[value_key(batch.text(value))] = presence
    for key, cell in cells:
        add(key, cell)
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
    return _in_order(batch, rows, codes).lasts()


def _in_order(batch: Batch, rows: Ints, codes: Ints) -> Groups:
    """Group `rows` of equal codes, each group in the order of time and log."""
    shards, numbers, places = (column[rows] for column in batch.log_places)
    return group(codes, then_by=[batch.times[rows], shards, numbers, places])


def _add_cells(chosen: Rows, meter: Meter, add: Add) -> None:
    for key, cell in _cells(chosen, meter, group(_cell_codes(chosen, meter))):
        add(key, cell)


def _cell_codes(chosen: Rows, meter: Meter) -> Ints:
    """Return codes, equal for events of one cell."""
    dimensions = [chosen.batch.texts(each.key)[chosen.rows] for each in meter.dimensions]
    return combine([chosen.of_row, chosen.days - chosen.days.min(), *dimensions])


def _cells(chosen: Rows, meter: Meter, groups: Groups) -> Iterator[tuple[CellKey, Cell]]:
    """Give the cell of each group, by ascending code, with all that every meter counts."""
    batch = chosen.batch
    tenant = int(batch.tenants[chosen.rows[0]])
    firsts = groups.firsts()
    rows = chosen.rows[firsts]
    dimensions = [
        [batch.text(place) for place in batch.texts(each.key)[rows].tolist()]
        for each in meter.dimensions
    ]
    newest = groups.maxima(batch.ranks[chosen.rows]).tolist()
    columns = zip(
        chosen.of_row[firsts].tolist(),
        chosen.days[firsts].tolist(),
        zip(*dimensions, strict=True) if dimensions else [()] * len(groups),
        groups.sizes(),
        groups.maxima(batch.times[chosen.rows]).tolist(),
        [batch.ranked[rank] for rank in newest],
        _amounts(chosen, groups),
        strict=True,
    )
    for term, day, values, size, last_time, piece, amount in columns:
        cell = Cell(
            dimensions=values,
            event_count=size,
            last_time=last_time,
            slice_number=piece.number,
            traceparent=piece.traceparent,
            amount=amount,
        )
        yield _key(tenant, chosen.terms[term], meter, day, values), cell


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
