"""Merging what a fold adds into the stored cells, and reading a period's usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import DayPeriod
from libs.tenant import Tenant
from services.rating.domain.cell import Cell, CellKey, Operation
from services.rating.domain.event import Moment
from services.rating.domain.folding import Unattributed
from services.rating.store.usage_schema import CELL_KEY, cell_values, cells, unattributed

LATEST = ("latest_time_us", "latest_shard", "latest_number", "latest_place")
MOMENT = ("time_us", "shard", "number", "place")


async def merge_cells(conn: AsyncConnection, deltas: Mapping[CellKey, Cell]) -> None:
    """Add `deltas` to the stored cells, locking them in the order of their keys."""
    rows = [_cell_row(key, deltas[key]) for key in sorted(deltas)]
    if rows:
        await conn.execute(_MERGE_CELL, rows)
    values = [
        {**key._asdict(), "value_key": value, "present": operation.present}
        | dict(zip(MOMENT, operation.moment, strict=True))
        for key in sorted(deltas)
        for value, operation in sorted(deltas[key].values.items())
    ]
    if values:
        await conn.execute(_MERGE_VALUE, values)


async def count_unattributed(conn: AsyncConnection, counts: Mapping[Unattributed, int]) -> None:
    """Add to the counts of events that no plan charges."""
    rows = [
        {
            "tenant": which.tenant,
            "customer_id": which.customer_id,
            "event_type": which.event_type,
            "day": which.day,
            "event_count": count,
        }
        for which, count in counts.items()
    ]
    if not rows:
        return
    adding = insert(unattributed)
    total = unattributed.c.event_count + adding.excluded.event_count
    key = ["tenant", "customer_id", "event_type", "day"]
    merging = adding.on_conflict_do_update(index_elements=key, set_={"event_count": total})
    await conn.execute(merging, sorted(rows, key=lambda row: [row[name] for name in key]))


async def load_cells(
    conn: AsyncConnection, tenant: Tenant, term_id: UUID, days: DayPeriod
) -> dict[UUID, list[Cell]]:
    """Return the cells of a term on `days`, by meter."""
    query = select(cells).where(
        cells.c.tenant == tenant,
        cells.c.term_id == term_id,
        cells.c.day >= days.first_day,
        cells.c.day < days.end_day,
    )
    found: dict[UUID, list[Cell]] = {}
    unique: dict[tuple[UUID, bytes], Cell] = {}
    for row in await conn.execute(query):
        cell = read_cell(row)
        found.setdefault(row.meter_id, []).append(cell)
        unique[row.meter_id, bytes(row.dimensions_key)] = cell
    for value in await conn.execute(_last_operations(tenant, term_id, days)):
        # Which day's cell takes it does not matter: all of them are merged. One that a fold has
        # added since the first query is left for the next reading.
        holder = unique.get((value.meter_id, bytes(value.dimensions_key)))
        if holder is not None:
            moment = Moment(value.time_us, value.shard, value.number, value.place)
            holder.values[bytes(value.value_key)] = Operation(moment, value.present)
    return found


def read_cell(row: Row[Any]) -> Cell:
    """Return the cell of a row, without its distinct values."""
    latest = None
    if row.latest is not None:
        latest = Moment(row.latest_time_us, row.latest_shard, row.latest_number, row.latest_place)
    return Cell(
        dimensions=tuple(row.dimensions),
        event_count=row.event_count,
        last_time=row.last_time_us,
        total=row.total,
        greatest=row.greatest,
        latest=row.latest,
        latest_moment=latest,
        slice_number=row.slice_number,
        traceparent=row.traceparent,
    )


def _last_operations(tenant: Tenant, term_id: UUID, days: DayPeriod) -> Any:
    """Query the last operation on each distinct value within `days`."""
    columns = cell_values.c
    value = (columns.meter_id, columns.dimensions_key, columns.value_key)
    moment = [columns[name].desc() for name in MOMENT]
    return (
        select(*value, columns.present, *(columns[name] for name in MOMENT))
        .where(
            columns.tenant == tenant,
            columns.term_id == term_id,
            columns.day >= days.first_day,
            columns.day < days.end_day,
        )
        .distinct(*value)
        .order_by(*value, *moment)
    )


def _cell_row(key: CellKey, cell: Cell) -> dict[str, Any]:
    moment: Sequence[int | None] = cell.latest_moment or (None,) * len(LATEST)
    return {
        **key._asdict(),
        "dimensions": list(cell.dimensions),
        "event_count": cell.event_count,
        "last_time_us": cell.last_time,
        "total": cell.total,
        "greatest": cell.greatest,
        "latest": cell.latest,
        **dict(zip(LATEST, moment, strict=True)),
        "slice_number": cell.slice_number,
        "traceparent": cell.traceparent,
    }


def _merge_cell() -> Any:
    adding = insert(cells)
    new = adding.excluded
    later = tuple_(*(new[name] for name in LATEST)) > tuple_(*(cells.c[name] for name in LATEST))
    newer = new.slice_number >= cells.c.slice_number
    return adding.on_conflict_do_update(
        index_elements=CELL_KEY,
        set_={
            "event_count": cells.c.event_count + new.event_count,
            "last_time_us": func.greatest(cells.c.last_time_us, new.last_time_us),
            "total": cells.c.total + new.total,
            "greatest": func.greatest(cells.c.greatest, new.greatest),
            **{name: case((later, new[name]), else_=cells.c[name]) for name in ("latest", *LATEST)},
            "slice_number": func.greatest(cells.c.slice_number, new.slice_number),
            "traceparent": case((newer, new.traceparent), else_=cells.c.traceparent),
        },
    )


def _merge_value() -> Any:
    adding = insert(cell_values)
    new = adding.excluded
    later = tuple_(*(new[name] for name in MOMENT)) > tuple_(
        *(cell_values.c[name] for name in MOMENT)
    )
    return adding.on_conflict_do_update(
        index_elements=(*CELL_KEY, "value_key"),
        set_={name: new[name] for name in ("present", *MOMENT)},
        where=later,
    )


_MERGE_CELL = _merge_cell()
_MERGE_VALUE = _merge_value()
