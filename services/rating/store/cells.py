"""Merging what a fold adds into the stored cells, and reading a period's usage."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Date,
    Row,
    Select,
    Table,
    TableClause,
    Uuid,
    bindparam,
    case,
    column,
    func,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy import table as table_clause
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from libs.period import DayPeriod
from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.cell import Cell, CellKey
from services.rating.domain.event import Moment
from services.rating.domain.folding import Unattributed
from services.rating.store.cell_parts import ADDED, MOMENT, PARTS, add_part
from services.rating.store.copying import lines_of, stage_lines
from services.rating.store.schema import meters
from services.rating.store.usage_schema import (
    CELL_KEY,
    cell_counts,
    cell_levels,
    cell_values,
    cells,
    unattributed,
)

LATEST = ("latest_time_us", "latest_shard", "latest_number", "latest_place")


class CellDay(NamedTuple):
    """What the cells of all combinations of dimension values have in common."""

    tenant: int
    term_id: UUID
    meter_id: UUID
    day: date


class Asked(Protocol):
    """Days of a term whose cells are asked for, by an id: a billing period is one."""

    @property
    def period_id(self) -> UUID: ...
    @property
    def term_id(self) -> UUID: ...
    @property
    def usage_days(self) -> DayPeriod: ...


async def merge_cells(conn: AsyncConnection, deltas: Mapping[CellKey, Cell]) -> list[CellDay]:
    """Add `deltas` to the stored cells, locking them in the order of their keys.

    Returns the days, of meters with dimensions, that got combinations of values they had not.
    Worker role only: they are copied to a temporary table first, and COPY FROM fails under
    row-level security. One statement then merges them, at a third of the cost of one for each.
    """
    if not deltas:
        return []
    await _stage(conn, cells, deltas)
    grown: list[CellDay] = []
    if any(cell.dimensions or cell.in_log for cell in deltas.values()):
        grown = [CellDay(*row) for row in await conn.execute(_MERGE_CELLS_AND_TELL)]
    else:
        await conn.execute(_MERGE_CELLS)
    for table, merging in _MERGE_PARTS:
        if await _stage(conn, table, deltas):
            await conn.execute(merging)
    return grown


async def stage_cells(conn: AsyncConnection, whole: Mapping[CellKey, Cell]) -> None:
    """Copy cells to temporary tables only, those that `staged` names. Worker role only."""
    for table in (cells, *PARTS):
        await stage_lines(conn, table, await asyncio.to_thread(lines_of, table, whole))


async def _stage(conn: AsyncConnection, table: Table, found: Mapping[CellKey, Cell]) -> bool:
    """Copy what cells have for `table` to a temporary table; False if that is nothing."""
    content = await asyncio.to_thread(lines_of, table, found)
    if content:
        await stage_lines(conn, table, content)
    return bool(content)


async def stage_rows(conn: AsyncConnection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Copy rows, in the order of the columns of `table`, to a temporary table like it."""
    adding = staged(table).name
    making = f"CREATE TEMPORARY TABLE IF NOT EXISTS {adding} (LIKE {table.name})"
    await conn.execute(text(f"{making} ON COMMIT DELETE ROWS"))
    async with driver(conn) as raw:
        await raw.copy_records_to_table(adding, records=rows)


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
    conn: AsyncConnection,
    tenant: Tenant,
    periods: Sequence[Asked],
    *,
    meter_ids: Collection[UUID] | None = None,
) -> dict[UUID, dict[UUID, list[Cell]]]:
    """Return the cells of usage `periods`, or other days of terms, by period and meter.

    Of all meters, or of those named.
    """
    found: dict[UUID, dict[UUID, list[Cell]]] = {}
    if not periods:
        return found
    asked = days_of(tenant, periods)
    holders: dict[tuple[UUID, UUID, date, bytes], Cell] = {}
    for row in await conn.execute(_of(meter_ids, cells, _CELLS), asked):
        cell = read_cell(row)
        found.setdefault(row.period_id, {}).setdefault(row.meter_id, []).append(cell)
        holders[row.period_id, row.meter_id, row.day, bytes(row.dimensions_key)] = cell
    for table in PARTS:
        for row in await conn.execute(_of(meter_ids, table, _CELL_PARTS[table]), asked):
            # One that a fold has added since the first query is left for the next reading.
            key = (row.period_id, row.meter_id, row.day, bytes(row.dimensions_key))
            add_part(table, holders.get(key), row)
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
        least=row.least,
        weighted=row.weighted,
        amount=row.amount,
        day=row.day,
        in_log=row.in_log,
    )


def _last_operations() -> Select[Any]:
    """Query the last operation on each distinct value within each period that is asked for.

    Which day's cell takes it does not matter, as all of them are merged; but where days count for
    themselves, by the meter or by a prorated charge, it is the last one of each day.
    """
    columns = cell_values.c
    day = case((meters.c.day_bucket.is_not(None) | meters.c.recurring, columns.day))
    value = (ASKED.c.period_id, columns.meter_id, columns.dimensions_key, columns.value_key, day)
    of_meter = (meters.c.tenant == columns.tenant) & (meters.c.meter_id == columns.meter_id)
    return (
        select(cell_values, ASKED.c.period_id)
        .join(ASKED, on_days(cell_values))
        .outerjoin(meters, of_meter)
        .distinct(*value)
        .order_by(*value, *(columns[name].desc() for name in MOMENT))
    )


def _of(meter_ids: Collection[UUID] | None, table: Table, query: Select[Any]) -> Select[Any]:
    return query if meter_ids is None else query.where(among(table.c.meter_id, meter_ids))


def days_of(tenant: Tenant, periods: Sequence[Asked]) -> dict[str, Any]:
    """Return the values with which a statement asks `on_days` for those of `periods`."""
    return {
        "asked_tenant": tenant,
        "asked_ids": [period.period_id for period in periods],
        "asked_terms": [period.term_id for period in periods],
        "asked_first_days": [period.usage_days.first_day for period in periods],
        "asked_end_days": [period.usage_days.end_day for period in periods],
    }


def _asked() -> Any:
    return (
        func.unnest(
            bindparam("asked_ids", type_=ARRAY(Uuid)),
            bindparam("asked_terms", type_=ARRAY(Uuid)),
            bindparam("asked_first_days", type_=ARRAY(Date)),
            bindparam("asked_end_days", type_=ARRAY(Date)),
        )
        .table_valued("period_id", "term_id", "first_day", "end_day", name="asked")
        .render_derived()
    )


# A table of periods, by their ids, terms and days: the values of `days_of`.
ASKED = _asked()


def on_days(table: Table) -> Any:
    """Return that a row of `table` is of a day that is asked for."""
    return (
        (table.c.tenant == bindparam("asked_tenant"))
        & (table.c.term_id == ASKED.c.term_id)
        & (table.c.day >= ASKED.c.first_day)
        & (table.c.day < ASKED.c.end_day)
    )


def _parts(table: Table) -> Select[Any]:
    return select(table, ASKED.c.period_id).join(ASKED, on_days(table))


_CELLS = _parts(cells)
_CELL_PARTS = {table: _parts(table) for table in PARTS} | {cell_values: _last_operations()}


def staged(table: Table) -> TableClause:
    """Return the temporary table of what is being added to `table`, or put in its place."""
    return table_clause(f"adding_{table.name}", *(column(each.name) for each in table.columns))


def _insert_added(table: Table) -> Any:
    # What was copied is read as it stands, in the order of keys.
    return insert(table).from_select([each.name for each in table.columns], select(staged(table)))


def _merge_cells() -> Any:
    adding = _insert_added(cells)
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
            "least": func.least(cells.c.least, new.least),
            "weighted": cells.c.weighted + new.weighted,
            "amount": func.coalesce(cells.c.amount + new.amount, cells.c.amount, new.amount),
            **{name: case((later, new[name]), else_=cells.c[name]) for name in ("latest", *LATEST)},
            "slice_number": func.greatest(cells.c.slice_number, new.slice_number),
            "traceparent": case((newer, new.traceparent), else_=cells.c.traceparent),
        },
    )


def _merge_values() -> Any:
    adding = _insert_added(cell_values)
    new, known = adding.excluded, cell_values.c
    later = tuple_(*(new[name] for name in MOMENT)) > tuple_(*(known[name] for name in MOMENT))
    sooner = tuple_(*(new[name] for name in ADDED)) < tuple_(*(known[name] for name in ADDED))
    first = new.added_time_us.is_not(None) & (known.added_time_us.is_(None) | sooner)
    last = {name: case((later, new[name]), else_=known[name]) for name in ("present", *MOMENT)}
    added = {name: case((first, new[name]), else_=known[name]) for name in ADDED}
    return adding.on_conflict_do_update(
        index_elements=(*CELL_KEY, "value_key"), set_={**last, **added}, where=later | first
    )


def _merge_levels() -> Any:
    adding = _insert_added(cell_levels)
    new, known = adding.excluded, cell_levels.c
    place = MOMENT[1:]  # Those of one instant are of one time.
    later = tuple_(*(new[name] for name in place)) > tuple_(*(known[name] for name in place))
    return adding.on_conflict_do_update(
        index_elements=(*CELL_KEY, "time_us"),
        set_={name: new[name] for name in (*place, "value")},
        where=later,
    )


def _merge_counts() -> Any:
    adding = _insert_added(cell_counts)
    total = cell_counts.c.event_count + adding.excluded.event_count
    return adding.on_conflict_do_update(
        index_elements=(*CELL_KEY, "value"), set_={"event_count": total}
    )


def _merge_cells_and_tell() -> Any:
    """Merge, and select the days of rows that are new and of a combination of values."""
    # PostgreSQL locks a row before it updates it, and notes that in the row: a new one has none.
    is_new: Any = literal_column("cells.xmax = 0").label("is_new")
    columns = [cells.c[name] for name in CellDay._fields]
    told = (*columns, cells.c.dimensions, cells.c.in_log, is_new)
    merging = _merge_cells().returning(*told).cte("merging")
    combined = (func.cardinality(merging.c.dimensions) > 0) | merging.c.in_log
    found = select(*(merging.c[each.name] for each in columns)).distinct()
    return found.where(merging.c.is_new, combined)


_MERGE_CELLS = _merge_cells()
_MERGE_CELLS_AND_TELL = _merge_cells_and_tell()
_MERGE_PARTS = (
    (cell_values, _merge_values()),
    (cell_levels, _merge_levels()),
    (cell_counts, _merge_counts()),
)
