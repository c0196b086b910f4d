"""Many rows as one statement: an array a column, whatever their number.

What writes goes to the driver directly: SQLAlchemy takes three times as long to hand a statement
over as asyncpg, and a group of orders waits for a dozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Delete,
    Insert,
    Table,
    TableValuedAlias,
    Update,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver

DIALECT = dialect()  # type: ignore[no-untyped-call]

Rows = Sequence[dict[str, Any]]  # Each with the same columns.


async def write(conn: AsyncConnection, statement: Insert | Update | Delete, values: Rows) -> None:
    """Execute a statement that is built once, with each of `values`; nothing if there are none.

    asyncpg gets them as they are: it knows UUIDs, times and arrays, but no JSON.
    """
    if values:
        sql, names = _compiled(statement)
        async with driver(conn) as raw:
            await raw.executemany(sql, [[row[name] for name in names] for row in values])


async def insert_rows(conn: AsyncConnection, table: Table, rows: Rows) -> None:
    """Insert `rows` in their order; nothing if there are none."""
    if rows:
        await write(conn, _insert_into(table, tuple(rows[0])), [columns_of(rows)])


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


@cache
def _compiled(statement: Insert | Update | Delete) -> tuple[str, tuple[str, ...]]:
    compiled = statement.compile(dialect=DIALECT)
    return str(compiled), tuple(compiled.positiontup or ())
