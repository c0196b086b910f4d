"""Folding: from events of the log to what they add to the cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from services.rating.domain.attribution import Catalog, Stretch, Term, attribute
from services.rating.domain.batch import Batch, Flags, join
from services.rating.domain.cell import Cell, CellKey, merged
from services.rating.domain.columns import Ints, Slice, ints
from services.rating.domain.counting import Rows, count_rows
from services.rating.domain.days import local_days, utc_days
from services.rating.domain.grouping import combine, group
from services.rating.domain.meter import Meter

NOBODY = -1  # In place of a term.

Days = Callable[[Ints, ZoneInfo], Ints]  # Of times in microseconds and a zone, as ordinals.


@dataclass(frozen=True, slots=True)
class Unattributed:
    """Events that no subscription's plan charges."""

    tenant: int
    customer_id: str
    event_type: str
    day: date  # In UTC.


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Events that a subscription took, and others could have taken."""

    tenant: int
    customer_id: str
    event_type: str
    day: date  # In UTC.
    subscription_id: str


@dataclass(slots=True)
class Folded:
    """What slices add: cells to merge into those stored, and counts of events to look at."""

    cells: dict[CellKey, Cell] = field(default_factory=dict)
    unattributed: Counter[Unattributed] = field(default_factory=Counter)
    ambiguous: Counter[Ambiguous] = field(default_factory=Counter)
    # Customers, by tenant and id, with UTC days of events of which some may be in no cell, since no
    # meter found a value in them.
    valueless: set[tuple[int, str, date]] = field(default_factory=set)
    without_value: int = 0  # Times that a meter found no value in an event of its type.
    event_count: int = 0

    def add(self, key: CellKey, cell: Cell) -> None:
        """Add what some events add to a cell."""
        known = self.cells.setdefault(key, cell)
        if known is not cell:
            whole = merged((known, cell))
            whole.dimensions = cell.dimensions
            self.cells[key] = whole

    def drop_counts(self, unwanted: Callable[[Unattributed | Ambiguous], bool]) -> None:
        """Take out the counts of events that are `unwanted`."""
        for nobodys in [which for which in self.unattributed if unwanted(which)]:
            del self.unattributed[nobodys]
        for somebodys in [which for which in self.ambiguous if unwanted(which)]:
            del self.ambiguous[somebodys]


@dataclass(slots=True)
class _Layer:
    """A term of each row, by its place among all, and the row's local day there, as an ordinal."""

    of_row: Ints
    days: Ints


@dataclass(slots=True)
class _Attributed:
    """Who takes each row: `own`; and for meters that are fanned out, layer by layer, who else."""

    own: _Layer
    ambiguous: Flags
    others: list[_Layer] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    _places: dict[tuple[UUID, int], int] = field(default_factory=dict)  # Of legs of terms.

    def place(self, term: Term | None) -> int:
        """Return the place of `term`, a new one if it has none yet."""
        if term is None:
            return NOBODY
        place = self._places.setdefault((term.term_id, term.start), len(self.terms))
        if place == len(self.terms):
            self.terms.append(term)
        return place

    def fan_out(self, stretches: Sequence[Stretch], at: Ints) -> None:
        """Note who counts each row besides its own term; `at` is the row's stretch."""
        for depth in range(max(len(each.others) for each in stretches)):
            self.others.append(_layer(len(at)))
            places = (
                self.place(each.others[depth] if depth < len(each.others) else None)
                for each in stretches
            )
            self.others[depth].of_row[:] = ints(places)[at]


def fold(
    slices: Sequence[Slice],
    catalogs: Mapping[int, Catalog],
    *,
    into: Folded | None = None,
    days: Days = local_days,
) -> Folded:
    """Fold `slices`, with the catalog of every tenant in them, and add to `into` if it is given.

    The result does not depend on the order of events or slices, nor on how they are batched.
    `days` may part the time otherwise than into the local days of terms.
    """
    folded = Folded() if into is None else into
    batch = join(slices)
    folded.event_count += len(batch)
    if not len(batch):
        return folded
    attributed = _attribute(batch, catalogs, days)
    terms, own = attributed.terms, attributed.own
    _count_unattributed(folded, batch, np.flatnonzero(own.of_row == NOBODY))
    _count_ambiguous(folded, batch, attributed)
    rows = np.flatnonzero(own.of_row != NOBODY)
    for of_type in _parts(rows, [batch.tenants, batch.types]):
        tenant = int(batch.tenants[of_type[0]])
        event_type = batch.text(int(batch.types[of_type[0]]))
        chosen = Rows(batch, of_type, terms, own.of_row[of_type], own.days[of_type])
        meters = catalogs[tenant].meters.get(event_type, ())
        missed = [count_rows(chosen, meter, folded.add) for meter in meters]
        for meter in meters:
            if meter.fan_out:
                _fan_out(folded, chosen, attributed.others, meter)
        folded.without_value += sum(missed)
        if missed and all(missed):
            folded.valueless.update(_customer_days(batch, of_type))
    return folded


def _fan_out(folded: Folded, own: Rows, others: Sequence[_Layer], meter: Meter) -> None:
    """Count the rows for the others that they count for, too."""
    for layer in others:
        rows = own.rows[layer.of_row[own.rows] != NOBODY]
        if len(rows):
            theirs = Rows(own.batch, rows, own.terms, layer.of_row[rows], layer.days[rows])
            count_rows(theirs, meter, folded.add)


def _attribute(batch: Batch, catalogs: Mapping[int, Catalog], days: Days) -> _Attributed:
    """Find the term of every event: once for those that only differ in time."""
    found = _Attributed(_layer(len(batch)), np.zeros(len(batch), dtype=np.bool_))
    groups = group(combine([batch.tenants, batch.customers, batch.subscriptions, batch.types]))
    stretches = [_stretches(batch, row, catalogs) for row in groups.firsts().tolist()]
    every = [stretch for of_group in stretches for stretch in of_group]
    at = _last_started(
        ints(each.start for each in every), ints(map(len, stretches)), batch.times, groups.places()
    )
    found.own.of_row[:] = ints(found.place(each.term) for each in every)[at]
    found.ambiguous[:] = ints(each.ambiguous for each in every)[at]
    found.fan_out(every, at)
    for layer in (found.own, *found.others):
        _place_days(batch, found.terms, layer, days)
    return found


def _layer(size: int) -> _Layer:
    return _Layer(np.full(size, NOBODY, dtype=np.int64), np.zeros(size, dtype=np.int64))


def _stretches(batch: Batch, row: int, catalogs: Mapping[int, Catalog]) -> list[Stretch]:
    return attribute(
        catalogs[int(batch.tenants[row])],
        customer_id=batch.text(int(batch.customers[row])),
        subscription_id=batch.text(int(batch.subscriptions[row])),
        event_type=batch.text(int(batch.types[row])),
    )


def _last_started(starts: Ints, counts: Ints, times: Ints, places: Ints) -> Ints:
    """Return which of its group's `starts` is the last one up to each time.

    Starts stand group by group, `counts` of each; `places` are the groups of `times`. All are
    looked up at once: as ranks among all starts they follow each other from group to group.
    """
    edges = np.unique(starts)
    ranks = np.searchsorted(edges, starts)
    of_time = np.searchsorted(edges, times, side="right") - 1
    groups = np.repeat(np.arange(len(counts)), counts)
    width = len(edges)
    ascending = groups * width + ranks
    return np.searchsorted(ascending, places * width + of_time, side="right") - 1


def _place_days(batch: Batch, terms: Sequence[Term], layer: _Layer, days: Days) -> None:
    zones = list({term.zone: None for term in terms})
    zone_of_term = ints(zones.index(term.zone) for term in terms)
    rows = np.flatnonzero(layer.of_row != NOBODY)
    zone_of_row = zone_of_term[layer.of_row[rows]]
    for place, zone in enumerate(zones):
        of_zone = rows[zone_of_row == place]
        layer.days[of_zone] = days(batch.times[of_zone], zone)
    if days is local_days:  # They do not go back where the zone changes.
        first_days = ints(term.first_day for term in terms)
        layer.days[rows] = np.maximum(layer.days[rows], first_days[layer.of_row[rows]])


def _count_ambiguous(folded: Folded, batch: Batch, attributed: _Attributed) -> None:
    rows = np.flatnonzero(attributed.ambiguous)
    if not len(rows):
        return
    days, taker = utc_days(batch.times), attributed.own.of_row
    columns = [batch.tenants, batch.customers, batch.types, days - days.min(), taker]
    for part in _parts(rows, columns):
        first = part[0]
        which = Ambiguous(
            tenant=int(batch.tenants[first]),
            customer_id=batch.text(int(batch.customers[first])),
            event_type=batch.text(int(batch.types[first])),
            day=date.fromordinal(int(days[first])),
            subscription_id=attributed.terms[int(taker[first])].subscription_id,
        )
        folded.ambiguous[which] += len(part)


def _count_unattributed(folded: Folded, batch: Batch, rows: Ints) -> None:
    if not len(rows):
        return
    days = utc_days(batch.times)
    for part in _parts(rows, [batch.tenants, batch.customers, batch.types, days - days.min()]):
        first = part[0]
        which = Unattributed(
            tenant=int(batch.tenants[first]),
            customer_id=batch.text(int(batch.customers[first])),
            event_type=batch.text(int(batch.types[first])),
            day=date.fromordinal(int(days[first])),
        )
        folded.unattributed[which] += len(part)


def _customer_days(batch: Batch, rows: Ints) -> Iterator[tuple[int, str, date]]:
    """Give the customers of `rows`, by tenant and id, with the days of their events in UTC."""
    days = utc_days(batch.times)
    for part in _parts(rows, [batch.tenants, batch.customers, days - days.min()]):
        first = part[0]
        customer_id = batch.text(int(batch.customers[first]))
        yield int(batch.tenants[first]), customer_id, date.fromordinal(int(days[first]))


def _parts(rows: Ints, columns: Sequence[Ints]) -> list[Ints]:
    """Part `rows` into those that are equal in all `columns`."""
    if not len(rows):
        return []
    groups = group(combine([column[rows] for column in columns]))
    return np.split(rows[groups.order], groups.starts[1:])
