"""Cells as lines of COPY's text format, in the order in which their rows are locked.

A driver's own encoding of rows takes ten times as long: it looks at every value of every row anew.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from services.rating.domain.cell import Cell, CellKey
from services.rating.domain.event import Moment
from services.rating.store.usage_schema import cell_levels, cell_values, cells

NULL = r"\N"
NO_MOMENT = "\t".join([NULL] * 4)
ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
QUOTED = str.maketrans({"\\": r"\\", '"': r"\""})


async def stage_lines(conn: AsyncConnection, table: Table, content: bytes) -> None:
    """Copy `lines_of` a table to a temporary table like it, which a commit empties.

    Worker role only: COPY FROM fails under row-level security.
    """
    making = f"CREATE TEMPORARY TABLE IF NOT EXISTS adding_{table.name} (LIKE {table.name})"
    await conn.execute(text(f"{making} ON COMMIT DELETE ROWS"))
    async with driver(conn) as raw:
        await raw.copy_to_table(f"adding_{table.name}", source=io.BytesIO(content), format="text")


def lines_of(table: Table, found: Mapping[CellKey, Cell]) -> bytes:
    """Return what cells have for `table`, of cells or their parts: rows by ascending keys.

    Keys are written in fixed width, so that lines sort as they do; of parts, those of a cell are
    together in whatever order: who merges into them has locked the cell.
    """
    days: dict[tuple[int, int, int, int], str] = {}
    lines: list[str] = []
    for key, cell in found.items():
        if not _has_rows(table, cell):
            continue
        # What a fold tells of one term, meter and day is of the same objects.
        same = (key.tenant, id(key.term_id), id(key.meter_id), id(key.day))
        day = days.get(same)
        if day is None:
            day = days[same] = _day(key)
        of_cell = f"{day}\t{_bytes(key.dimensions_key)}"
        if table is cells:
            lines.append(_cell_line(of_cell, cell))
        else:
            lines += _part_lines(table, of_cell, cell)
    lines.sort()
    return "".join(lines).encode()


def _has_rows(table: Table, cell: Cell) -> bool:
    if table is cells:
        return True
    if table is cell_values:
        return bool(cell.values)
    return bool(cell.levels if table is cell_levels else cell.counts)


def _day(key: CellKey) -> str:
    return f"{key.tenant:010}\t{key.term_id.hex}\t{key.meter_id.hex}\t{key.day}"


def _cell_line(of_cell: str, cell: Cell) -> str:
    return (
        f"{of_cell}\t{_texts(cell.dimensions)}\t{cell.event_count}\t{cell.last_time}"
        f"\t{_number(cell.total)}\t{_number(cell.greatest)}\t{_number(cell.latest)}"
        f"\t{_moment(cell.latest_moment)}\t{_number(cell.least)}\t{_number(cell.weighted)}"
        f"\t{_number(cell.amount)}\t{cell.slice_number}\t{_escaped(cell.traceparent)}"
        f"\t{'t' if cell.in_log else 'f'}\n"
    )


def _part_lines(table: Table, of_cell: str, cell: Cell) -> list[str]:
    if table is cell_values:
        return [
            f"{of_cell}\t{_bytes(value)}\t{'t' if present else 'f'}"
            f"\t{_moment(moment)}\t{_moment(added)}\n"
            for value, (moment, present, added) in cell.values.items()
        ]
    if table is cell_levels:
        levels = (cell.levels or {}).values()
        return [f"{of_cell}\t{_moment(moment)}\t{value}\n" for moment, value in levels]
    counts = (cell.counts or {}).items()
    return [f"{of_cell}\t{value}\t{count}\n" for value, count in counts]


def _bytes(value: bytes) -> str:
    return f"\\\\x{value.hex()}"


def _number(number: Decimal | None) -> str:
    return NULL if number is None else str(number)


def _moment(moment: Moment | None) -> str:
    if moment is None:
        return NO_MOMENT
    time, shard, number, place = moment
    return f"{time}\t{shard}\t{number}\t{place}"


@lru_cache(maxsize=4_096)
def _escaped(one: str) -> str:
    return one.translate(ESCAPED)


@lru_cache(maxsize=4_096)
def _texts(values: tuple[str, ...]) -> str:
    """Return an array of texts."""
    quoted = ",".join(f'"{value.translate(QUOTED)}"' for value in values)
    return f"{{{quoted}}}".translate(ESCAPED)
