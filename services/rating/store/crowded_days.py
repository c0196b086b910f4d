"""Turning days with more combinations of dimension values than are kept as cells to log mode."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ARRAY,
    Date,
    Integer,
    Table,
    Text,
    Uuid,
    cast,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.rating.domain.high_cardinality import IN_LOG_KEY
from services.rating.store.cell_parts import PARTS
from services.rating.store.cells import CellDay
from services.rating.store.usage_schema import CELL_KEY, cells


async def turn_crowded(
    conn: AsyncConnection, grown: Collection[CellDay], *, cells_max: int
) -> list[CellDay]:
    """Turn those days of `grown` to log mode that have more than `cells_max` cells, or are in it.

    The catalog is held, and their cells were locked by merging into them. Returns days that were
    not in log mode before.
    """
    if not grown:
        return []
    found = (await conn.execute(_crowded(grown, cells_max))).all()
    if not found:
        return []
    days = [CellDay(*row[:4]) for row in found]
    await conn.execute(_keep_counts(days))
    asked = _table_of(days)
    await conn.execute(delete(cells).where(_of(cells, asked), ~cells.c.in_log))
    for table in PARTS:
        await conn.execute(delete(table).where(_of(table, asked)))
    return [day for day, row in zip(days, found, strict=True) if not row.was_in_log]


def _crowded(grown: Collection[CellDay], cells_max: int) -> Any:
    asked = _table_of(grown)
    key = [cells.c[name] for name in CellDay._fields]
    in_log, count = func.bool_or(cells.c.in_log), func.count()
    return (
        select(*key, in_log.label("was_in_log"))
        .join(asked, _of(cells, asked))
        .group_by(*key)
        .having((in_log & (count > 1)) | (count > cells_max))
    )


def _keep_counts(days: Collection[CellDay]) -> Any:
    """Write one row a day that counts the events of all its cells, itself included."""
    asked = _table_of(days)
    key = [cells.c[name] for name in CellDay._fields]
    newest = aggregate_order_by(
        cells.c.traceparent, cells.c.slice_number.desc(), cells.c.traceparent.desc()
    )
    kept = ("event_count", "last_time_us", "slice_number", "traceparent")
    names = [*CELL_KEY, "dimensions", *kept, "in_log"]
    whole = (
        select(
            *key,
            literal(IN_LOG_KEY),
            cast(literal([], ARRAY(Text)), ARRAY(Text)),
            func.sum(cells.c.event_count),
            func.max(cells.c.last_time_us),
            func.max(cells.c.slice_number),
            func.array_agg(newest, type_=ARRAY(Text))[1],
            literal(True),
        )
        .join(asked, _of(cells, asked))
        .group_by(*key)
    )
    keeping = insert(cells).from_select(names, whole)
    return keeping.on_conflict_do_update(
        index_elements=CELL_KEY, set_={name: keeping.excluded[name] for name in kept}
    )


def _of(table: Table, asked: Any) -> Any:
    return (
        (table.c.tenant == asked.c.tenant)
        & (table.c.term_id == asked.c.term_id)
        & (table.c.meter_id == asked.c.meter_id)
        & (table.c.day == asked.c.day)
    )


def _table_of(days: Collection[CellDay]) -> Any:
    kinds: tuple[Any, ...] = (Integer, Uuid, Uuid, Date)
    arrays = [
        literal(list(values), ARRAY(kind))
        for values, kind in zip(zip(*sorted(days), strict=True), kinds, strict=True)
    ]
    return func.unnest(*arrays).table_valued(*CellDay._fields, name="asked").render_derived()
