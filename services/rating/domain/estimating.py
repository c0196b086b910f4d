"""Estimating: what events would add, as if they came after all that is stored."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from services.rating.domain.attribution import Catalog, Stretch, Term, attribute
from services.rating.domain.cell import Cell, CellKey
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import UsageEvent, instant_of

# Where events stand that are tried: after any other of their instant.
LAST_SHARD = 2**31 - 1
LAST_NUMBER = 2**62


def as_slice(events: Sequence[UsageEvent]) -> Slice:
    """Return `events` as a slice that could be folded after all others."""
    return Slice(LAST_SHARD, 0, LAST_NUMBER, 0, "", columns_of(events))


def local_terms(events: Iterable[UsageEvent], catalog: Catalog) -> list[tuple[Term, date] | None]:
    """Return who takes each event, and its local day there; None if no plan charges it."""
    known: dict[tuple[str, str, str], list[Stretch]] = {}
    found: list[tuple[Term, date] | None] = []
    for event in events:
        whose = (event.customer_id, event.subscription_id, event.type)
        if whose not in known:
            known[whose] = attribute(
                catalog,
                customer_id=event.customer_id,
                subscription_id=event.subscription_id,
                event_type=event.type,
            )
        stretches = known[whose]
        time = event.moment.time
        at = bisect_right(stretches, time, key=lambda stretch: stretch.start) - 1
        term = stretches[at].term
        found.append(
            None if term is None else (term, instant_of(time).astimezone(term.zone).date())
        )
    return found


def with_cells(
    stored: Mapping[UUID, Sequence[Cell]], added: Iterable[tuple[CellKey, Cell]]
) -> dict[UUID, list[Cell]]:
    """Return the cells of a period, by meter, with those that events add to it."""
    cells = {meter_id: list(of_meter) for meter_id, of_meter in stored.items()}
    for key, cell in added:
        cells.setdefault(key.meter_id, []).append(replace(cell, day=key.day))
    return cells
