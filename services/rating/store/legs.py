"""Reading and writing the legs of subscriptions' terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.life import Leg
from services.rating.store.schema import terms


async def insert_legs(
    conn: AsyncConnection, tenant: Tenant, uid: UUID, legs: Iterable[Leg]
) -> None:
    """Add all legs of a subscription, in their order."""
    first: dict[UUID, Leg] = {}
    rows = [
        {
            "tenant": tenant,
            "subscription_uid": uid,
            "first_leg": first.setdefault(leg.term_id, leg) is leg,
            "term_id": leg.term_id,
            "plan_version_id": leg.plan_version_id,
            "time_zone": leg.time_zone,
            "starts_at": leg.start,
            "ends_at": leg.end,
            "first_day": leg.first_day,
            "default_for_usage": leg.default_for_usage,
            "early": False,
        }
        for leg in legs
    ]
    await conn.execute(insert(terms), rows)


async def replace_legs(
    conn: AsyncConnection, tenant: Tenant, uid: UUID, legs: Iterable[Leg]
) -> None:
    """Write the legs of a locked subscription in the place of those that it had."""
    await conn.execute(delete(terms).filter_by(tenant=tenant, subscription_uid=uid, early=False))
    await insert_legs(conn, tenant, uid, legs)


async def load_legs(
    conn: AsyncConnection, tenants: Collection[Tenant], uids: Collection[UUID]
) -> dict[UUID, list[Leg]]:
    """Return the legs of subscriptions of `tenants` in their order, by uid."""
    query = select(terms).where(
        among(terms.c.tenant, tenants), among(terms.c.subscription_uid, uids), ~terms.c.early
    )
    found: dict[UUID, list[Leg]] = {}
    for row in await conn.execute(query.order_by(terms.c.starts_at)):
        leg = Leg(
            term_id=row.term_id,
            plan_version_id=row.plan_version_id,
            time_zone=row.time_zone,
            start=row.starts_at.astimezone(UTC),
            end=None if row.ends_at is None else row.ends_at.astimezone(UTC),
            first_day=row.first_day,
            default_for_usage=row.default_for_usage,
        )
        found.setdefault(row.subscription_uid, []).append(leg)
    return found
