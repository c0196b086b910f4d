"""Storing what a command made of a subscription's life, and all that follows from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import outbox
from libs.tenant import Tenant
from services.rating.domain.life import Leg, life_status, next_change
from services.rating.domain.life_periods import Life, PlannedLife, plan_life
from services.rating.domain.plan import PlanVersion
from services.rating.domain.plan_changing import present_leg
from services.rating.domain.subscription import Subscription
from services.rating.operations.crossing import watch_thresholds
from services.rating.operations.folding import announce_late
from services.rating.operations.following import watch_followed
from services.rating.operations.messages import subscription_message
from services.rating.operations.reattributing import reattribute_from
from services.rating.operations.trials import find_first_start
from services.rating.store import legs as leg_store
from services.rating.store import plans as plan_store
from services.rating.store import subscriptions as store
from services.rating.store.reconciling import reconcile_periods, skip_last
from services.rating.store.renewals import find_with_seats
from services.rating.store.subscriptions import Extent, save_extents
from tally.rating.v1 import events_pb2


async def store_change(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    legs: Sequence[Leg],
    *,
    now: datetime,
    from_at: datetime | None,
) -> Subscription:
    """Write what a command changed of a locked subscription, while the catalog is held.

    Its periods are reconciled, and events at and after `from_at`, None: none, that were counted
    already are counted again. Returns it as stored; the caller announces it.
    """
    uid = subscription.subscription_uid
    before = (await leg_store.load_legs(conn, [tenant], [uid]))[uid]
    changed = replace(
        subscription,
        plan_version_id=present_leg(legs, now).plan_version_id,
        time_zone=present_leg(legs, now).time_zone,
        status=life_status(subscription, legs, now),
        revision=subscription.revision + 1,
    )
    await leg_store.replace_legs(conn, tenant, uid, legs)
    await store.save_subscription(conn, tenant, changed, changes_at=next_change(legs, now))
    await reconcile(conn, tenant, changed, legs, now=now)
    ids = {leg.plan_version_id for leg in legs}
    versions = await plan_store.load_versions(conn, [tenant], ids)
    await watch_thresholds(conn, tenant, changed.subscription_id, versions.values())
    await watch_followed(conn, tenant, changed.customer_id, changed.subscription_id)
    gone = {leg.term_id for leg in before} - {leg.term_id for leg in legs}
    if from_at is not None:
        await reattribute_from(conn, tenant, changed.customer_id, from_at, gone=gone)
    return await store.load_subscription(conn, tenant, uid)


async def announce_changed(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription
) -> None:
    """Announce that a subscription was changed."""
    message = subscription_message(subscription)
    await outbox.append(conn, tenant, events_pb2.SubscriptionChanged(subscription=message))


async def reconcile(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    legs: Sequence[Leg],
    *,
    now: datetime,
    held_codes: frozenset[str] = frozenset(),
) -> None:
    """Bring the stored periods of a locked subscription in line with its `legs`."""
    life = await _load_life(conn, tenant, subscription, legs)
    planned = plan_life(life, now, held_codes=held_codes)
    found = await reconcile_periods(conn, tenant, subscription, planned.periods)
    await announce_late(conn, [(tenant, period) for period in found.late], commanded=True)
    if subscription.end is not None and subscription.end <= now and not subscription.final_invoice:
        await skip_last(conn, tenant, subscription)
    extent = _extent(planned, subscription)
    await save_extents(conn, [(tenant, subscription.subscription_uid, extent)])


async def _load_life(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription, legs: Sequence[Leg]
) -> Life:
    ids = {leg.plan_version_id for leg in legs}
    versions = await plan_store.load_versions(conn, [tenant], ids)
    seats = await with_seats(conn, [tenant], versions)
    first_start = await find_first_start(conn, tenant, subscription, versions.values())
    return Life(subscription, legs, versions, seats, first_start)


async def with_seats(
    conn: AsyncConnection, tenants: Collection[Tenant], versions: Mapping[UUID, PlanVersion]
) -> set[UUID]:
    """Return those of `versions`, by id, whose periods renew what they carry."""
    instant = {
        version_id
        for version_id, version in versions.items()
        if any(charge.instant is not None for charge in version.charges)
    }
    return await find_with_seats(conn, tenants, instant) if instant else set()


def _extent(planned: PlannedLife, subscription: Subscription) -> Extent:
    """Return how far periods are written once they are those `planned`."""
    last = planned.last
    if last is None:
        return Extent(None, None)
    goes_on = subscription.end is None or last.usage.end < subscription.end
    return Extent(last.whole.first_day, last.usage.start if goes_on else None)
