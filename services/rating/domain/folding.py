"""Folding: from events of the log to what they add to the cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from services.rating.domain.attribution import Catalog, Stretch, Term, attribute
from services.rating.domain.batch import Batch, join
from services.rating.domain.cell import Cell, CellKey, merged
from services.rating.domain.columns import Ints, Slice, ints
from services.rating.domain.counting import Rows, count_rows
from services.rating.domain.days import local_days, utc_days
from services.rating.domain.grouping import combine, group

NOBODY = -1  # In place of a term.

Days = Callable[[Ints, ZoneInfo], Ints]  # Of times in microseconds and a zone, as ordinals.


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

    def add(self, key: CellKey, cell: Cell) -> None:
        """Add what some events add to a cell."""
        known = self.cells.setdefault(key, cell)
        if known is not cell:
            whole = merged((known, cell))
            whole.dimensions = cell.dimensions
            self.cells[key] = whole


@dataclass(slots=True)
class _Attributed:
    """The term of each row, by its place in `terms`, and its local day, as an ordinal."""

    of_row: Ints
    days: Ints
    terms: list[Term] = field(default_factory=list)
    ambiguous: int = 0
    _places: dict[UUID, int] = field(default_factory=dict)

    def place(self, term: Term | None) -> int:
        """Return the place of `term`, a new one if it has none yet."""
        if term is None:
            return NOBODY
        place = self._places.setdefault(term.term_id, len(self.terms))
        if place == len(self.terms):
            self.terms.append(term)
        return place


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
    folded.ambiguous += attributed.ambiguous
    _count_unattributed(folded, batch, np.flatnonzero(attributed.of_row == NOBODY))
    rows = np.flatnonzero(attributed.of_row != NOBODY)
    for of_type in _parts(rows, [batch.tenants, batch.types]):
        tenant = int(batch.tenants[of_type[0]])
        event_type = batch.text(int(batch.types[of_type[0]]))
        chosen = Rows(
            batch, of_type, attributed.terms, attributed.of_row[of_type], attributed.days[of_type]
        )
        for meter in catalogs[tenant].meters.get(event_type, ()):
            folded.without_value += count_rows(chosen, meter, folded.add)
    return folded


def _attribute(batch: Batch, catalogs: Mapping[int, Catalog], days: Days) -> _Attributed:
    """Find the term of every event: once for those that only differ in time."""
    found = _Attributed(np.full(len(batch), NOBODY, dtype=np.int64), np.zeros_like(batch.times))
    groups = group(combine([batch.tenants, batch.customers, batch.subscriptions, batch.types]))
    stretches = [_stretches(batch, row, catalogs) for row in groups.firsts().tolist()]
    every = [stretch for of_group in stretches for stretch in of_group]
    at = _last_started(
        ints(each.start for each in every), ints(map(len, stretches)), batch.times, groups.places()
    )
    found.of_row[:] = ints(found.place(each.term) for each in every)[at]
    found.ambiguous += int(ints(each.ambiguous for each in every)[at].sum())
    _place_days(batch, found, days)
    return found


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


def _place_days(batch: Batch, found: _Attributed, days: Days) -> None:
    zones = list({term.zone: None for term in found.terms})
    zone_of_term = ints(zones.index(term.zone) for term in found.terms)
    rows = np.flatnonzero(found.of_row != NOBODY)
    zone_of_row = zone_of_term[found.of_row[rows]]
    for place, zone in enumerate(zones):
        of_zone = rows[zone_of_row == place]
        found.days[of_zone] = days(batch.times[of_zone], zone)


def _count_unattributed(folded: Folded, batch: Batch, rows: Ints) -> None:
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


def _parts(rows: Ints, columns: Sequence[Ints]) -> list[Ints]:
    """Part `rows` into those that are equal in all `columns`."""
    if not len(rows):
        return []
    groups = group(combine([column[rows] for column in columns]))
    return np.split(rows[groups.order], groups.starts[1:])
