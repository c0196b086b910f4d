"""What a verification reads: whole shares of usage, and closed periods with all they are made of.

The connection is a snapshot (`libs.db.Snapshots`), and decides of whose rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Date,
    Integer,
    Table,
    Uuid,
    exists,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.attribution import Term
from services.rating.domain.cell import Cell, CellKey, part_count
from services.rating.domain.folding import Unattributed
from services.rating.domain.period import BillingPeriod, PeriodStatus
from services.rating.store.catalog import read_term, select_terms
from services.rating.store.cell_parts import PARTS, add_part
from services.rating.store.cells import read_cell
from services.rating.store.periods import read_period, select_periods
from services.rating.store.schema import (
    billing_periods,
    closes,
    meters,
    plan_versions,
    subscriptions,
    terms,
)
from services.rating.store.usage_schema import (
    CELL_KEY,
    cells,
    reattributions,
    unattributed,
)

BROKEN_MAX = 1_000  # Of a kind that nothing but a broken database has.

Wanted = Callable[[int, str], bool]  # Of a tenant's customer.


@dataclass(frozen=True, slots=True)
class OwnedTerm:
    """A term with its customer, and the meters that its plan charges."""

    tenant: int
    customer_id: str
    term: Term
    meter_codes: frozenset[str]


async def load_terms(conn: AsyncConnection, wanted: Wanted) -> list[OwnedTerm]:
    """Return the terms of all customers that are `wanted`."""
    query = select_terms(subscriptions).add_columns(
        subscriptions.c.tenant.label("owner"), plan_versions.c.meter_codes
    )
    async with conn.stream(query) as rows:
        return [
            OwnedTerm(row.owner, row.customer_id, read_term(row), frozenset(row.meter_codes))
            async for row in rows
            if wanted(row.owner, row.customer_id)
        ]


async def load_tenants_with_meters(conn: AsyncConnection) -> list[int]:
    """Return the tenants that have meters."""
    return list((await conn.execute(select(meters.c.tenant).distinct())).scalars())


async def load_jobs(conn: AsyncConnection) -> set[tuple[int, str]]:
    """Return the customers, by tenant and id, whose usage is being attributed again."""
    columns = (reattributions.c.tenant, reattributions.c.customer_id)
    return {(row.tenant, row.customer_id) for row in await conn.execute(select(*columns))}


async def load_unattributed(conn: AsyncConnection, wanted: Wanted) -> dict[Unattributed, int]:
    """Return the counts of events that no plan charges, of customers that are `wanted`."""
    async with conn.stream(select(unattributed)) as rows:
        return {
            Unattributed(row.tenant, row.customer_id, row.event_type, row.day): row.event_count
            async for row in rows
            if wanted(row.tenant, row.customer_id)
        }


async def load_cells_of(
    conn: AsyncConnection, owners: Iterable[tuple[int, UUID]], *, rows_max: int
) -> dict[CellKey, Cell] | None:
    """Return all cells of terms, given by tenant and id; None beyond `rows_max` rows."""
    asked = _terms_of(owners)
    on = (cells.c.tenant == asked.c.tenant) & (cells.c.term_id == asked.c.term_id)
    query = select(cells).join(asked, on).limit(rows_max + 1)
    found = {_key_of(row): read_cell(row) for row in await conn.execute(query)}
    for table in PARTS:
        on = (table.c.tenant == asked.c.tenant) & (table.c.term_id == asked.c.term_id)
        left = rows_max - len(found) - sum(map(part_count, found.values()))
        if left < 0:
            return None
        rows = (await conn.execute(select(table).join(asked, on).limit(left + 1))).all()
        if len(rows) > left:
            return None
        _add_parts(table, found, rows)
    return found


async def find_lost_cells(conn: AsyncConnection) -> list[CellKey]:
    """Return cells whose term or meter does not exist, at most 1,000."""
    term = exists().where(terms.c.tenant == cells.c.tenant, terms.c.term_id == cells.c.term_id)
    meter = exists().where(meters.c.tenant == cells.c.tenant, meters.c.meter_id == cells.c.meter_id)
    query = select(*(cells.c[name] for name in CELL_KEY)).where(~term | ~meter).limit(BROKEN_MAX)
    return [_key_of(row) for row in await conn.execute(query)]


async def find_closes_of_open_periods(conn: AsyncConnection) -> list[tuple[int, UUID, str]]:
    """Return periods, with their status, that have closes and are not closed, at most 1,000."""
    columns = billing_periods.c
    closed = exists().where(
        closes.c.tenant == columns.tenant, closes.c.period_id == columns.period_id
    )
    query = select(columns.tenant, columns.period_id, columns.status).where(
        columns.status != PeriodStatus.CLOSED, closed
    )
    rows = await conn.execute(query.limit(BROKEN_MAX))
    return [(row.tenant, row.period_id, row.status) for row in rows]


async def load_closed_periods(
    conn: AsyncConnection, *, after: tuple[int, UUID] | None, limit: int
) -> list[tuple[Tenant, BillingPeriod]]:
    """Return closed periods by tenant and id, after that key."""
    key = tuple_(billing_periods.c.tenant, billing_periods.c.period_id)
    query = select_periods().where(billing_periods.c.status == PeriodStatus.CLOSED)
    if after is not None:
        query = query.where(key > after)
    rows = await conn.execute(query.order_by(*key.clauses).limit(limit))
    return [(Tenant(row.tenant), read_period(row)) for row in rows]


async def load_cells_of_periods(
    conn: AsyncConnection, periods: Sequence[tuple[Tenant, BillingPeriod]]
) -> Mapping[UUID, Mapping[UUID, list[Cell]]]:
    """Return the cells of each period, by its id and by meter."""
    asked = _days_of(periods)
    found: dict[UUID, dict[CellKey, Cell]] = {}
    for table in (cells, *PARTS):
        on = (
            (table.c.tenant == asked.c.tenant)
            & (table.c.term_id == asked.c.term_id)
            & (table.c.day >= asked.c.first_day)
            & (table.c.day < asked.c.end_day)
        )
        rows_of: dict[UUID, list[Any]] = {}
        for row in await conn.execute(select(table, asked.c.period_id).join(asked, on)):
            rows_of.setdefault(row.period_id, []).append(row)
        for period_id, rows in rows_of.items():
            if table is cells:
                found[period_id] = {_key_of(row): read_cell(row) for row in rows}
            else:
                _add_parts(table, found.get(period_id, {}), rows)
    return {period_id: _by_meter(of_period) for period_id, of_period in found.items()}


def _terms_of(owners: Iterable[tuple[int, UUID]]) -> Any:
    asked = list(owners)
    return (
        func.unnest(
            literal([tenant for tenant, _ in asked], ARRAY(Integer)),
            literal([term_id for _, term_id in asked], ARRAY(Uuid)),
        )
        .table_valued("tenant", "term_id", name="asked")
        .render_derived()
    )


def _days_of(periods: Sequence[tuple[Tenant, BillingPeriod]]) -> Any:
    first_days: list[date] = [period.usage_days.first_day for _, period in periods]
    end_days: list[date] = [period.usage_days.end_day for _, period in periods]
    return (
        func.unnest(
            literal([tenant for tenant, _ in periods], ARRAY(Integer)),
            literal([period.period_id for _, period in periods], ARRAY(Uuid)),
            literal([period.term_id for _, period in periods], ARRAY(Uuid)),
            literal(first_days, ARRAY(Date)),
            literal(end_days, ARRAY(Date)),
        )
        .table_valued("tenant", "period_id", "term_id", "first_day", "end_day", name="asked")
        .render_derived()
    )


def _key_of(row: Any) -> CellKey:
    return CellKey(row.tenant, row.term_id, row.meter_id, row.day, bytes(row.dimensions_key))


def _add_parts(table: Table, found: Mapping[CellKey, Cell], rows: Iterable[Any]) -> None:
    for row in rows:
        add_part(table, found.get(_key_of(row)), row)


def _by_meter(of_period: Mapping[CellKey, Cell]) -> dict[UUID, list[Cell]]:
    found: dict[UUID, list[Cell]] = {}
    for key, cell in of_period.items():
        found.setdefault(key.meter_id, []).append(cell)
    return found
