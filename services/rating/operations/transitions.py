"""What happens to subscriptions when their instants come, in whichever process is first."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import outbox
from services.rating.domain.subscription import SubscriptionStatus
from services.rating.operations.messages import subscription_message
from services.rating.operations.schedule import Unwritten, write_periods
from services.rating.store import plans as plan_store
from services.rating.store import subscriptions as store
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
    return len(due)


async def extend_due(conn: AsyncConnection, now: datetime) -> int:
    """Write the next billing periods where they are needed; return for how many."""
    due = await store.lock_to_extend(conn, now)
    if due:
        versions = await plan_store.load_versions(
            conn,
            {tenant for tenant, _ in due},
            {subscription.plan_version_id for _, subscription in due},
        )
        uids = [subscription.subscription_uid for _, subscription in due]
        term_ids = await store.load_term_ids(conn, {tenant for tenant, _ in due}, uids)
        await write_periods(
            conn,
            [
                Unwritten(
                    tenant,
                    subscription,
                    versions[subscription.plan_version_id],
                    term_ids[subscription.subscription_uid],
                )
                for tenant, subscription in due
            ],
            now=now,
        )
    return len(due)
