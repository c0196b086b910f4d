"""Adding usage to what is stored: as cells, or where these are too many to the count of a day."""

from __future__ import annotations

import asyncio

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection

from services.rating.domain.cell import Cell, CellKey
from services.rating.domain.high_cardinality import condense
from services.rating.store.cells import merge_cells
from services.rating.store.crowded_days import turn_crowded

CROWDED = Counter(
    "tally_rating_high_cardinality_days_total",
    "Days of a term and meter with so many combinations of values that their events are read.",
)


async def add_cells(conn: AsyncConnection, deltas: dict[CellKey, Cell], *, cells_max: int) -> None:
    """Merge `deltas` into the stored cells; no day of a term and meter keeps above `cells_max`.

    The billing periods are locked, so that nobody else adds to these days. Who never comes near
    the limit pays for a look at the days that got new combinations only.
    """
    await asyncio.to_thread(condense, deltas, cells_max)
    grown = await merge_cells(conn, deltas)
    CROWDED.inc(len(await turn_crowded(conn, grown, cells_max=cells_max)))
