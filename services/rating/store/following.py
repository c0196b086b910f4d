"""Customers of whom each change of usage is announced."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.store.schema import subscriptions
from services.rating.store.watched_schema import followed_customers


async def is_followed(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> bool:
    """Tell whether a customer's usage is announced."""
    query = select(1).select_from(followed_customers)
    found = await conn.execute(query.filter_by(tenant=tenant, customer_id=customer_id))
    return found.first() is not None


async def insert_followed(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> None:
    """Note that a customer's usage is announced from now on."""
    row = insert(followed_customers).values(tenant=tenant, customer_id=customer_id)
    await conn.execute(row.on_conflict_do_nothing())


async def find_subscription_ids(
    conn: AsyncConnection, tenant: Tenant, customer_id: str
) -> list[str]:
    """Return the ids of all subscriptions that a customer has or had."""
    ids = select(subscriptions.c.subscription_id).distinct()
    return list(
        (await conn.execute(ids.filter_by(tenant=tenant, customer_id=customer_id))).scalars()
    )
