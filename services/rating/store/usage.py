"""What is stored of usage, looked at without reading all of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Text, cast, func, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import DayPeriod
from libs.tenant import Tenant
from services.rating.domain.folding import Unattributed
from services.rating.store.schema import catalog_versions
from services.rating.store.usage_schema import cells, unattributed


class DayCells(NamedTuple):
    """How many cells a day has, or that one stands for all that the log has of it."""

    cell_count: int
    in_log: bool


class UsageMark(NamedTuple):
    """What differs whenever the usage of some days of a term, or the catalog, does."""

    catalog_version: int
    cell_count: int
    cells_hash: int


async def count_cells(
    conn: AsyncConnection, tenant: Tenant, term_id: UUID, meter_id: UUID, days: DayPeriod
) -> dict[date, DayCells]:
    """Return how many cells a meter has of each day of a term that has any, by day."""
    columns = cells.c
    in_log = func.bool_or(columns.in_log).label("in_log")
    query = (
        select(columns.day, func.count().label("cell_count"), in_log)
        .where(
            columns.tenant == tenant,
            columns.term_id == term_id,
            columns.meter_id == meter_id,
            columns.day >= days.first_day,
            columns.day < days.end_day,
        )
        .group_by(columns.day)
        .order_by(columns.day)
    )
    found = await conn.execute(query)
    return {row.day: DayCells(row.cell_count, row.in_log) for row in found}


async def list_unattributed(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str,
    after: tuple[str, str, date] | None,
    limit: int,
) -> Sequence[tuple[Unattributed, int]]:
    """Return counts of events that nobody took, by customer, type and day, after that key.

    Of one customer; "" stands for all of them.
    """
    columns = unattributed.c
    keys = (columns.customer_id, columns.event_type, columns.day)
    query = select(unattributed).where(columns.tenant == tenant).order_by(*keys).limit(limit)
    if customer_id:
        query = query.where(columns.customer_id == customer_id)
    if after is not None:
        query = query.where(tuple_(*keys) > after)
    return [
        (Unattributed(tenant, row.customer_id, row.event_type, row.day), row.event_count)
        for row in await conn.execute(query)
    ]


async def load_mark(
    conn: AsyncConnection, tenant: Tenant, term_id: UUID, days: DayPeriod
) -> UsageMark:
    """Return the mark of a term's usage on `days`: two are equal only if the usage is the same."""
    columns = cells.c
    row_hash = func.hashtextextended(cast(literal_column("cells.*"), Text), 0)
    query = select(func.count(), func.coalesce(func.sum(row_hash), 0)).where(
        columns.tenant == tenant,
        columns.term_id == term_id,
        columns.day >= days.first_day,
        columns.day < days.end_day,
    )
    cell_count, cells_hash = (await conn.execute(query.select_from(cells))).one()
    version = select(catalog_versions.c.version).where(catalog_versions.c.tenant == tenant)
    catalog_version = (await conn.execute(version)).scalar_one_or_none()
    return UsageMark(catalog_version or 0, cell_count, int(cells_hash))
