"""Estimating: what events would add, as if they came after all that is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from services.rating.domain.attribution import Catalog, Stretch, Term, who_takes
from services.rating.domain.cell import Cell, CellKey
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import UsageEvent, instant_of

# Where events stand that are tried: after any other of their instant.
LAST_SHARD = 2**31 - 1
LAST_NUMBER = 2**62


def as_slice(events: Sequence[UsageEvent]) -> Slice:
    """Return `events` as a slice that could be folded after all others."""
    return Slice(LAST_SHARD, 0, LAST_NUMBER, 0, "", columns_of(events))


def local_terms(events: Sequence[UsageEvent], catalog: Catalog) -> list[list[tuple[Term, date]]]:
    """Return for whom each event counts, and its local day there; none if no plan charges it."""
    return [
        local_days_of(event, taken)
        for event, taken in zip(events, who_takes(events, catalog), strict=True)
    ]


def local_days_of(event: UsageEvent, taken: Stretch) -> list[tuple[Term, date]]:
    """Return the term that takes an event, and others for which it counts, each with its day."""
    if taken.term is None:
        return []
    instant = instant_of(event.moment.time)
    terms = (taken.term, *taken.others)
    return [(term, term.day(instant)) for term in terms]


def with_cells(
    stored: Mapping[UUID, Sequence[Cell]], added: Iterable[tuple[CellKey, Cell]]
) -> dict[UUID, list[Cell]]:
    """Return the cells of a period, by meter, with those that events add to it."""
    cells = {meter_id: list(of_meter) for meter_id, of_meter in stored.items()}
    for key, cell in added:
        cells.setdefault(key.meter_id, []).append(replace(cell, day=key.day))
    return cells
