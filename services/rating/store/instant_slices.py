"""Slices of the log with events of instant charges: noted as they are folded, until priced."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.store.applied import Lane
from services.rating.store.instant_schema import instant_slices


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A slice whose events of `tenant`, the first of them at `first_time`, are to be priced.

    Times are in microseconds since 1970 in UTC.
    """

    tenant: Tenant
    lane: Lane
    number: int
    first_time: int


async def note_unpriced(conn: AsyncConnection, noted: Sequence[Unpriced]) -> None:
    """Remember slices in the transaction that folds them."""
    rows = [
        {
            "tenant": one.tenant,
            **one.lane._asdict(),
            "number": one.number,
            "first_time_us": one.first_time,
        }
        for one in noted
    ]
    if rows:
        await conn.execute(insert(instant_slices), rows)


async def find_unpriced(
    conn: AsyncConnection, partitions: Collection[int] | None, *, limit: int
) -> list[Unpriced]:
    """Return the next slices of `partitions` (None: all), lane by lane in their order."""
    columns = instant_slices.c
    order = (columns.shard, columns.partition, columns.number, columns.tenant)
    query = select(instant_slices).order_by(*order).limit(limit)
    if partitions is not None:
        query = query.where(among(columns.partition, partitions))
    return [
        Unpriced(Tenant(row.tenant), Lane(row.shard, row.partition), row.number, row.first_time_us)
        for row in await conn.execute(query)
    ]


async def take_unpriced(conn: AsyncConnection, one: Unpriced) -> bool:
    """Strike a slice off, in the transaction that prices it; False if another has done it."""
    key = {"tenant": one.tenant, **one.lane._asdict(), "number": one.number}
    return (await conn.execute(delete(instant_slices).filter_by(**key))).rowcount == 1


async def load_unpriced(
    conn: AsyncConnection, tenant: Tenant, partition: int
) -> set[tuple[int, int]]:
    """Return shard and number of the slices of a tenant's partition that are not priced yet.

    A customer's events are all in one partition; slices of others have the same numbers.
    """
    query = select(instant_slices.c.shard, instant_slices.c.number)
    query = query.filter_by(tenant=tenant, partition=partition)
    return {(row.shard, row.number) for row in await conn.execute(query)}


async def find_first_times(
    conn: AsyncConnection, tenants: Iterable[Tenant]
) -> Mapping[Tenant, int]:
    """Return the time of the earliest event that may be unpriced of each of `tenants`."""
    columns = instant_slices.c
    query = (
        select(columns.tenant, func.min(columns.first_time_us).label("first"))
        .where(among(columns.tenant, tenants))
        .group_by(columns.tenant)
    )
    return {Tenant(row.tenant): row.first for row in await conn.execute(query)}


async def count_unpriced(conn: AsyncConnection) -> int:
    """Return how many slices wait, of all tenants."""
    return int((await conn.execute(select(func.count()).select_from(instant_slices))).scalar_one())
