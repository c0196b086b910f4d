"""What happens to subscriptions when their instants come, in whichever process is first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import begin_worker
from libs.tenant import Tenant
from services.rating.domain.life import Leg, life_status, next_change
from services.rating.domain.plan_changing import present_leg
from services.rating.domain.subscription import Subscription, SubscriptionStatus
from services.rating.operations.messages import subscription_message
from services.rating.operations.reconciling import announce_changed, reconcile
from services.rating.operations.schedule import Unwritten, write_periods
from services.rating.store import legs as leg_store
from services.rating.store import plans as plan_store
from services.rating.store import subscriptions as store
from services.rating.store.reconciling import skip_last
from tally.rating.v1 import events_pb2


async def start_due(conn: AsyncConnection, now: datetime) -> int:
    """Make pending subscriptions active whose start has come; return how many."""
    due = await store.lock_to_start(conn, now)
    for tenant, subscription in due:
        status = SubscriptionStatus.ACTIVE
        started = replace(subscription, status=status)
        await store.set_status(conn, tenant, subscription.subscription_uid, status)
        message = subscription_message(started)
        await outbox.append(conn, tenant, events_pb2.SubscriptionActivated(subscription=message))
    return len(due)


async def end_due(conn: AsyncConnection, now: datetime) -> int:
    """Make subscriptions terminated whose end has come; return how many."""
    due = await store.lock_to_end(conn, now)
    for tenant, subscription in due:
        status = SubscriptionStatus.TERMINATED
        ended = replace(subscription, status=status)
        await store.set_status(conn, tenant, subscription.subscription_uid, status)
        message = subscription_message(ended)
        await outbox.append(conn, tenant, events_pb2.SubscriptionTerminated(subscription=message))
        if not ended.final_invoice:
            await skip_last(conn, tenant, ended)
    return len(due)


async def change_due(conn: AsyncConnection, now: datetime) -> int:
    """Let legs begin whose start has come: other plans, and the ends of pauses; return how many."""
    due = await store.lock_to_change(conn, now)
    legs = await _load_legs(conn, due)
    for tenant, subscription in due:
        own = legs[subscription.subscription_uid]
        present = present_leg(own, now)
        changed = replace(
            subscription,
            plan_version_id=present.plan_version_id,
            time_zone=present.time_zone,
            status=life_status(subscription, own, now),
            revision=subscription.revision + 1,
        )
        await store.save_subscription(conn, tenant, changed, changes_at=next_change(own, now))
        await reconcile(conn, tenant, changed, own, now=now)
        stored = await store.load_subscription(conn, tenant, subscription.subscription_uid)
        await announce_changed(conn, tenant, stored)
    return len(due)


async def apply_due(worker: AsyncEngine, now: datetime) -> int:
    """Do what the time demands of subscriptions by `now`; return of how many. There may be more."""
    changed = await extend_many(worker, now)
    for change in (start_due, change_due, end_due):
        async with begin_worker(worker) as conn:
            changed += await change(conn, now)
    return changed


async def extend_many(worker: AsyncEngine, now: datetime) -> int:
    """Write the next billing periods of some subscriptions that need them; return of how many.

    In two transactions at once: Python plans the periods of one while PostgreSQL writes the other.
    """

    async def extend() -> int:
        async with begin_worker(worker) as conn:
            return await extend_due(conn, now)

    return sum(await asyncio.gather(extend(), extend()))


async def extend_due(conn: AsyncConnection, now: datetime) -> int:
    """Write the next billing periods where they are needed; return for how many."""
    due = await store.lock_to_extend(conn, now)
    if not due:
        return 0
    legs = await _load_legs(conn, due)
    plain = [one for one in due if len(legs[one[1].subscription_uid]) == 1]
    versions = await plan_store.load_versions(
        conn,
        {tenant for tenant, _ in plain},
        {subscription.plan_version_id for _, subscription in plain},
    )
    unwritten = [
        Unwritten(
            tenant,
            subscription,
            versions[subscription.plan_version_id],
            legs[subscription.subscription_uid][0].term_id,
        )
        for tenant, subscription in plain
    ]
    if unwritten:
        await write_periods(conn, unwritten, now=now)
    for tenant, subscription in due:
        own = legs[subscription.subscription_uid]
        if len(own) > 1:
            await reconcile(conn, tenant, subscription, own, now=now)
    return len(due)


async def _load_legs(
    conn: AsyncConnection, owned: Iterable[tuple[Tenant, Subscription]]
) -> dict[UUID, list[Leg]]:
    known = list(owned)
    uids = [subscription.subscription_uid for _, subscription in known]
    return await leg_store.load_legs(conn, {tenant for tenant, _ in known}, uids)
