"""Inserting rows of billing periods, however many, by one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, Column, Text, bindparam, cast, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.rating.store.schema import billing_periods


async def add_rows(conn: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add `rows`, at least one, that give the same columns."""
    names = tuple(rows[0])
    await conn.execute(_add(names), {name: _column(name, rows) for name in names})


@cache
def _add(names: tuple[str, ...]) -> Any:
    """Add rows of which these columns are arrays, and an array a text: one statement for all."""
    columns = [billing_periods.c[name] for name in names]
    given = (
        func.unnest(
            *(
                bindparam(each.name, type_=ARRAY(Text if _is_array(each) else each.type))
                for each in columns
            )
        )
        .table_valued(*(each.name for each in columns), name="given")
        .render_derived()
    )
    chosen = [
        cast(func.string_to_array(given.c[each.name], ","), each.type)
        if _is_array(each)
        else given.c[each.name]
        for each in columns
    ]
    return insert(billing_periods).from_select([each.name for each in columns], select(*chosen))


def _is_array(column: Column[Any]) -> bool:
    return isinstance(column.type, ARRAY)


def _column(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return a column of `rows` as `_add` takes it."""
    if _is_array(billing_periods.c[name]):
        return [",".join(map(str, row[name])) for row in rows]
    return [row[name] for row in rows]
