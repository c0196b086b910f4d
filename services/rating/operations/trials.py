"""Until when the base fees of subscriptions are sheltered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.plan import PlanVersion
from services.rating.domain.subscription import Subscription
from services.rating.domain.trial import Trial, trial_of
from services.rating.store.trials import load_first_starts


async def load_trials(
    conn: AsyncConnection, billed: Iterable[tuple[Tenant, Subscription, PlanVersion]]
) -> dict[UUID, Trial]:
    """Return the trials of subscriptions on plan versions, by uid, of those that have one."""
    with_trial = [one for one in billed if one[2].trial_days]
    if not with_trial:
        return {}
    uids = [subscription.subscription_uid for _, subscription, _ in with_trial]
    starts = await load_first_starts(conn, {tenant for tenant, _, _ in with_trial}, uids)
    found = {}
    for _, subscription, version in with_trial:
        first, zone = starts[subscription.subscription_uid], ZoneInfo(subscription.time_zone)
        trial = trial_of(first, version.trial_days, zone)
        if trial is not None:
            found[subscription.subscription_uid] = trial
    return found


async def find_first_start(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    versions: Iterable[PlanVersion],
) -> datetime | None:
    """Return the first start of a subscription's id if any of its `versions` has a trial."""
    if not any(version.trial_days for version in versions):
        return None
    uid = subscription.subscription_uid
    return (await load_first_starts(conn, {tenant}, [uid]))[uid]
