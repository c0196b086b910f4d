"""Announcing that usage of followed customers changed, many changes at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import begin, begin_worker
from libs.tenant import Tenant
from services.rating.domain.period import BillingPeriod
from services.rating.store.catalog import change_catalog
from services.rating.store.crossings import load_unbilled_periods
from services.rating.store.following import find_subscription_ids, insert_followed, is_followed
from services.rating.store.reattributions import find_jobs
from services.rating.store.watched import Purpose, find_noted, strike_off, watch
from tally.rating.v1 import following_pb2
from tally.rating.v1.events_pb2 import UsageChanged

SUBSCRIPTIONS_MAX = 500  # Told of in one transaction.


async def follow_usage(
    engine: AsyncEngine, tenant: Tenant, customer_id: str
) -> following_pb2.FollowUsageResponse:
    """Announce the usage of a customer's subscriptions now, and whenever it changes.

    A repeat changes nothing.
    """
    async with begin(engine, tenant) as conn:
        if not await is_followed(conn, tenant, customer_id):
            await change_catalog(conn, tenant)
            await insert_followed(conn, tenant, customer_id)
            known = await find_subscription_ids(conn, tenant, customer_id)
            await watch(conn, tenant, known, Purpose.FOLLOWING)
    return following_pb2.FollowUsageResponse()


async def watch_followed(
    conn: AsyncConnection, tenant: Tenant, customer_id: str, subscription_id: str
) -> None:
    """Have a changed subscription announced, now and later, if its customer is followed.

    The caller holds the catalog.
    """
    if await is_followed(conn, tenant, customer_id):
        await watch(conn, tenant, [subscription_id], Purpose.FOLLOWING)


async def announce_usage(worker: AsyncEngine, *, now: datetime) -> int:
    """Announce what was noted, and return how much.

    Usage that is being counted again waits: its emptied cells would look like a fall.
    """
    async with begin_worker(worker) as conn:
        noted = await find_noted(conn, Purpose.FOLLOWING, limit=SUBSCRIPTIONS_MAX)
        done = []
        facts: list[tuple[Tenant, UsageChanged]] = []
        for tenant in sorted({one.tenant for one in noted}):
            own = [one for one in noted if one.tenant == tenant]
            ids = [one.subscription_id for one in own]
            periods = await load_unbilled_periods(conn, tenant, ids, now)
            every = [period for of_one in periods.values() for period in of_one]
            jobs = await find_jobs(conn, {(tenant, one.customer_id) for one in every})
            for one in own:
                unbilled = periods[one.subscription_id]
                if any((tenant, period.customer_id) in jobs for period in unbilled):
                    continue
                done.append(one)
                if unbilled:
                    facts.append((tenant, usage_changed(unbilled)))
        for tenant, fact in facts:
            await outbox.append(conn, tenant, fact)
        await strike_off(conn, done)
    return len(done)


def usage_changed(periods: Sequence[BillingPeriod]) -> UsageChanged:
    """Write the fact that usage of a subscription's periods changed."""
    newest = periods[-1]
    return UsageChanged(
        customer_id=newest.customer_id,
        subscription_id=newest.subscription_id,
        currency_code=newest.currency,
        period_ids=[str(one.period_id) for one in periods],
    )
