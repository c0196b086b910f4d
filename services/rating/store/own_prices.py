"""Putting a subscription on other prices."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.period import PeriodStatus
from services.rating.store.schema import billing_periods, subscriptions, terms


async def put_on_version(
    conn: AsyncConnection, tenant: Tenant, subscription_uid: UUID, plan_version_id: UUID
) -> None:
    """Let a plan version price a locked subscription and its open periods."""
    own = {"tenant": tenant, "subscription_uid": subscription_uid}
    for table in (subscriptions, terms):
        changing = update(table).filter_by(**own)
        await conn.execute(changing.values(plan_version_id=plan_version_id))
    opened = update(billing_periods).filter_by(**own, status=PeriodStatus.OPEN)
    await conn.execute(opened.values(plan_version_id=plan_version_id))
