"""Putting usage that was computed again in the place of what is stored, where that differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Table,
    Text,
    cast,
    column,
    delete,
    exists,
    func,
    literal_column,
    select,
    tuple_,
    union,
    union_all,
    update,
)
from sqlalchemy import table as table_clause
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import DayPeriod
from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.folding import Ambiguous, Folded, Unattributed
from services.rating.store.cell_parts import PARTS
from services.rating.store.cells import stage_cells, stage_rows, staged
from services.rating.store.schema import subscriptions
from services.rating.store.usage_schema import CELL_KEY, ambiguous, cells, unattributed

COUNTS = (unattributed, ambiguous)  # Of events, by customer and UTC day.
COUNT_KEY = ("customer_id", "event_type", "subscription_id")
ALL_DAYS = DayPeriod(date.min, date.max)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose usage it is: a customer with all its terms."""

    tenant: Tenant
    customer_id: str
    term_ids: Sequence[UUID]


class Mark(NamedTuple):
    """What differs whenever a fold, a job or a command has changed some days of a customer."""

    cell_count: int
    cells_hash: int
    unattributed_count: int
    ambiguous_count: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Where stored usage differs: the days of terms, by meter, and how many cells it is."""

    days: Collection[tuple[UUID, date]]
    meter_days: Collection[tuple[UUID, UUID, date]]
    cell_count: int


async def find_customers(conn: AsyncConnection, tenant: Tenant) -> list[str]:
    """Return the customers that have a subscription, or events of nobody, in order."""
    of_subscriptions = select(subscriptions.c.customer_id).where(subscriptions.c.tenant == tenant)
    of_nobody = select(unattributed.c.customer_id).where(unattributed.c.tenant == tenant)
    return sorted((await conn.execute(union(of_subscriptions, of_nobody))).scalars())


async def load_stretches(conn: AsyncConnection, owner: Owner, *, rows_max: int) -> list[DayPeriod]:
    """Return all days in stretches that have about `rows_max` stored rows each, or are a day."""
    rows = union_all(
        *(
            select(table.c.day, func.count().label("row_count"))
            .where(_own(table, owner))
            .group_by(table.c.day)
            for table in (cells, *PARTS)
        )
    ).subquery()
    query = select(rows.c.day, func.sum(rows.c.row_count)).group_by(rows.c.day).order_by(rows.c.day)
    stretches: list[DayPeriod] = []
    first, held = ALL_DAYS.first_day, 0
    for day, count in await conn.execute(query):
        if held and held + count > rows_max:
            stretches.append(DayPeriod(first, day))
            first, held = day, 0
        held += count
    return [*stretches, DayPeriod(first, ALL_DAYS.end_day)]


async def load_mark(conn: AsyncConnection, owner: Owner, days: DayPeriod) -> Mark:
    """Return the mark of a customer's usage on `days`: two that are equal are of equal usage."""
    row_hash = func.hashtextextended(cast(literal_column("cells.*"), Text), 0)
    query = select(func.count(), func.coalesce(func.sum(row_hash), 0)).select_from(cells)
    count, cells_hash = (await conn.execute(query.where(_on(cells, owner, days)))).one()
    counted: list[int] = []
    for table in COUNTS:
        events = select(func.coalesce(func.sum(table.c.event_count), 0))
        found = await conn.execute(events.where(_counted(table, owner, days)))
        counted.append(int(found.scalar_one()))
    return Mark(count, int(cells_hash), *counted)


async def stage(conn: AsyncConnection, folded: Folded) -> None:
    """Copy what usage is to be to temporary tables. Worker role only.

    A cell that the same slice has changed last keeps that slice's trace, and so stays as it is.
    """
    await stage_cells(conn, folded.cells)
    await stage_rows(conn, unattributed, _rows(folded.unattributed))
    await stage_rows(conn, ambiguous, _rows(folded.ambiguous))
    fresh = table_clause(staged(cells).name, *(column(each.name) for each in cells.columns))
    same_slice = [fresh.c[name] == cells.c[name] for name in (*CELL_KEY, "slice_number")]
    await conn.execute(update(fresh).values(traceparent=cells.c.traceparent).where(*same_slice))


async def find_changes(conn: AsyncConnection, owner: Owner, days: DayPeriod) -> Changes:
    """Return where the stored usage on `days` is not what is staged."""
    key = [cells.c[name] for name in CELL_KEY]
    found: set[tuple[Any, ...]] = set()
    for table in (cells, *PARTS):
        fresh = staged(table)
        gone = select(*(table.c[each.name] for each in key)).where(
            _on(table, owner, days), ~_has_same(table, fresh)
        )
        come = select(*(fresh.c[each.name] for each in key)).where(~_has_same(fresh, table))
        found |= {tuple(row) for row in await conn.execute(union(gone, come))}
    return Changes(
        days={(key[1], key[3]) for key in found},
        meter_days={(key[1], key[2], key[3]) for key in found},
        cell_count=len(found),
    )


async def replace_usage(conn: AsyncConnection, owner: Owner, days: DayPeriod) -> None:
    """Make what is staged the usage on `days`. Rows that are the same are not touched.

    The catalog is held alone, and the billing periods of what changes are locked.
    """
    for table in (cells, *PARTS):
        await _replace(conn, table, _on(table, owner, days))
    for table in COUNTS:
        await _replace(conn, table, _counted(table, owner, days))


async def _replace(conn: AsyncConnection, table: Table, within: ColumnElement[bool]) -> None:
    fresh = staged(table)
    await conn.execute(delete(table).where(within, ~_has_same(table, fresh)))
    names = [each.name for each in table.columns]
    come = select(fresh).where(~_has_same(fresh, table))
    await conn.execute(insert(table).from_select(names, come))


def _has_same(one: Any, other: Any) -> ColumnElement[bool]:
    """Return that `other` has a row that is equal in all columns; null equals null."""
    whole = tuple_(*one.c).is_not_distinct_from(tuple_(*other.c))
    # By the key too, as no index serves what may be null.
    key = [name for name in (*CELL_KEY, *COUNT_KEY) if name in one.c]
    found: ColumnElement[bool] = exists().where(
        *(one.c[name] == other.c[name] for name in key), whole
    )
    return found


def _own(table: Table, owner: Owner) -> ColumnElement[bool]:
    return (table.c.tenant == owner.tenant) & among(table.c.term_id, owner.term_ids)


def _on(table: Table, owner: Owner, days: DayPeriod) -> ColumnElement[bool]:
    within = (table.c.day >= days.first_day) & (table.c.day < days.end_day)
    return _own(table, owner) & within


def _counted(table: Table, owner: Owner, days: DayPeriod) -> ColumnElement[bool]:
    return (
        (table.c.tenant == owner.tenant)
        & (table.c.customer_id == owner.customer_id)
        & (table.c.day >= days.first_day)
        & (table.c.day < days.end_day)
    )


def _rows(counts: Mapping[Unattributed, int] | Mapping[Ambiguous, int]) -> list[tuple[Any, ...]]:
    return [(*astuple(which), count) for which, count in counts.items()]
