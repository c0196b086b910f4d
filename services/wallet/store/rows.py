"""Many rows as one statement: an array a column, whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, Insert, Table, TableValuedAlias, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

Rows = Sequence[dict[str, Any]]  # Each with the same columns.


async def insert_rows(conn: AsyncConnection, table: Table, rows: Rows) -> None:
    """Insert `rows` in their order; nothing if there are none."""
    if rows:
        await conn.execute(_insert_into(table, tuple(rows[0])), columns_of(rows))


def columns_of(rows: Rows) -> dict[str, list[Any]]:
    """Return the parameters of `given`: the values of each column, as each_<column>."""
    return {f"each_{name}": [row[name] for row in rows] for name in rows[0]}


def given(table: Table, *names: str) -> TableValuedAlias:
    """Return rows that come as parameters: an array of the type of each of the table's columns."""
    arrays = (bindparam(f"each_{name}", type_=ARRAY(table.c[name].type)) for name in names)
    return func.unnest(*arrays).table_valued(*names, name="given").render_derived()


@cache
def _insert_into(table: Table, names: tuple[str, ...]) -> Insert:
    return insert(table).from_select(names, select(given(table, *names)))
