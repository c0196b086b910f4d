"""Reading when subscription ids started first."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.store.schema import subscriptions


async def load_first_starts(
    conn: AsyncConnection, tenants: Collection[Tenant], uids: Collection[UUID]
) -> dict[UUID, datetime]:
    """Return the first starts of the ids of subscriptions of `tenants`, by uid.

    Lives that were created later do not count, so that the answer stays the same, and neither do
    those that came to nothing.
    """
    lives = subscriptions.alias("lives")
    same_id = (lives.c.tenant == subscriptions.c.tenant) & (
        lives.c.subscription_id == subscriptions.c.subscription_id
    )
    lived = lives.c.ends_at.is_(None) | (lives.c.ends_at > lives.c.starts_at)
    own = lives.c.subscription_uid == subscriptions.c.subscription_uid
    earlier = lives.c.created_at <= subscriptions.c.created_at
    query = (
        select(subscriptions.c.subscription_uid, func.min(lives.c.starts_at).label("first_start"))
        .join(lives, same_id & (own | (earlier & lived)))
        .where(
            among(subscriptions.c.tenant, tenants), among(subscriptions.c.subscription_uid, uids)
        )
        .group_by(subscriptions.c.subscription_uid)
    )
    return {
        row.subscription_uid: row.first_start.astimezone(UTC) for row in await conn.execute(query)
    }
