"""Parts of cells that are rows of their own: distinct values, levels, and counts of values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Table

from services.rating.domain.cell import Cell, Level, Presence
from services.rating.domain.event import Moment
from services.rating.store.usage_schema import cell_counts, cell_levels, cell_values

MOMENT = ("time_us", "shard", "number", "place")
ADDED = tuple(f"added_{name}" for name in MOMENT)
PARTS = (cell_values, cell_levels, cell_counts)


def add_part(table: Table, cell: Cell | None, row: Row[Any]) -> None:
    """Put a row of `table` into its cell; without one it is of no cell's usage."""
    if cell is None:
        return
    if table is cell_values:
        cell.add_value(bytes(row.value_key), Presence(_moment(row), row.present, _added(row)))
    elif table is cell_levels:
        cell.add_level(Level(_moment(row), row.value))
    else:
        cell.add_counts({row.value: row.event_count})


def _moment(row: Row[Any]) -> Moment:
    return Moment(*(getattr(row, name) for name in MOMENT))


def _added(row: Row[Any]) -> Moment | None:
    if row.added_time_us is None:
        return None
    return Moment(*(getattr(row, name) for name in ADDED))
