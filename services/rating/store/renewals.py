"""Seats that periods renew: which plans have some, when it is due, and what was charged before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import any_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.period import BillingPeriod
from services.rating.domain.subscription import Subscription
from services.rating.store.meter_schema import meters
from services.rating.store.periods import read_period, select_periods
from services.rating.store.schema import billing_periods, plan_versions, subscriptions

Owned = tuple[Tenant, BillingPeriod]


async def find_with_seats(
    conn: AsyncConnection, tenants: Collection[Tenant], version_ids: Collection[UUID]
) -> set[UUID]:
    """Return which plan versions have instant charges of recurring meters."""
    columns = plan_versions.c
    priced = (meters.c.tenant == columns.tenant) & (
        meters.c.code == any_(columns.instant_meter_codes)
    )
    query = select(columns.plan_version_id).join(meters, priced & meters.c.recurring)
    chosen = among(columns.tenant, tenants), among(columns.plan_version_id, version_ids)
    return set((await conn.execute(query.where(*chosen))).scalars())


async def find_charged_before(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription
) -> frozenset[str]:
    """Return the meters whose usage the plan before that of `subscription` priced as it came.

    That is the plan of the customer's life of the same id that ended at its start.
    """
    columns = subscriptions.c
    of_plan = (plan_versions.c.tenant == columns.tenant) & (
        plan_versions.c.plan_version_id == columns.plan_version_id
    )
    query = select(plan_versions.c.instant_meter_codes).join(subscriptions, of_plan)
    query = query.where(
        columns.tenant == tenant,
        columns.subscription_id == subscription.subscription_id,
        columns.customer_id == subscription.customer_id,
        columns.ends_at == subscription.start,
        columns.starts_at < columns.ends_at,
    )
    return frozenset(code for codes in (await conn.execute(query)).scalars() for code in codes)


async def find_to_renew(conn: AsyncConnection, now: datetime, *, limit: int) -> Sequence[Owned]:
    """Return up to `limit` periods, of all tenants, that are to be renewed by `now`."""
    columns = billing_periods.c
    query = select_periods().where(columns.renews_at <= now)
    rows = await conn.execute(query.order_by(columns.renews_at, columns.period_id).limit(limit))
    return [(Tenant(row.tenant), read_period(row)) for row in rows]


async def find_renewal_times(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, datetime]:
    """Return when those of locked periods are to be renewed that still are, by id."""
    columns = billing_periods.c
    query = select(columns.period_id, columns.renews_at).where(
        columns.tenant == tenant,
        among(columns.period_id, period_ids),
        columns.renews_at.is_not(None),
    )
    return {row.period_id: row.renews_at.astimezone(UTC) for row in await conn.execute(query)}


async def find_first_renewals(
    conn: AsyncConnection, customers: Collection[tuple[Tenant, str]]
) -> dict[tuple[Tenant, str], datetime]:
    """Return when the next period of each of `customers` is to be renewed, if one is."""
    columns = billing_periods.c
    whose = (columns.tenant, columns.customer_id)
    query = (
        select(*whose, func.min(columns.renews_at).label("first"))
        .where(
            among(columns.tenant, {tenant for tenant, _ in customers}),
            among(columns.customer_id, {customer_id for _, customer_id in customers}),
            columns.renews_at.is_not(None),
        )
        .group_by(*whose)
    )
    return {
        (Tenant(row.tenant), row.customer_id): row.first.astimezone(UTC)
        for row in await conn.execute(query)
    }


async def note_renewed(conn: AsyncConnection, tenant: Tenant, period_ids: Iterable[UUID]) -> None:
    """Write that locked periods were renewed, in the transaction that does it."""
    changing = update(billing_periods).filter_by(tenant=tenant).values(renews_at=None)
    await conn.execute(changing.where(among(billing_periods.c.period_id, set(period_ids))))


async def count_to_renew(conn: AsyncConnection, now: datetime) -> int:
    """Return how many periods are to be renewed by `now`, of all tenants."""
    query = select(func.count()).where(billing_periods.c.renews_at <= now)
    return int((await conn.execute(query)).scalar_one())
