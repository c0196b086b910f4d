"""Putting the subscriptions of a plan on another version of it, one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from libs.wire import timestamp
from services.rating.domain.life import Leg
from services.rating.domain.migrating import (
    MigrationMode,
    period_start,
    reprice_problem,
    repriced_legs,
)
from services.rating.domain.plan import PlanVersion
from services.rating.domain.plan_changing import changed_legs, period_end, present_leg
from services.rating.domain.subscription import ENDED, Subscription, SubscriptionStatus
from services.rating.operations.command import begin_command
from services.rating.operations.plan_changes import load_legs_of
from services.rating.operations.reconciling import announce_changed, store_change
from services.rating.store import plans as plan_store
from services.rating.store import subscriptions as store
from services.rating.store.catalog import change_catalog
from tally.rating.v1 import subscription_service_pb2 as pb

PAGE = 200


@dataclass(frozen=True, slots=True)
class Migration:
    """Which subscriptions are migrated: those on version `from_version`, 0 for any other one."""

    plan_code: str
    from_version: int
    to_version: int
    at_period_end: bool
    mode: MigrationMode


async def migrate_subscriptions(
    engine: AsyncEngine, tenant: Tenant, wanted: Migration, *, now: datetime, validate_only: bool
) -> AsyncGenerator[pb.MigrateSubscriptionsResponse, None]:
    """Migrate subscriptions in the order of their uids; tell of each.

    Raises:
        PlanNotFound, PlanVersionNotFound: there is no such plan or version.
    """
    async with begin(engine, tenant) as conn:
        _, version = await plan_store.load_plan(conn, tenant, wanted.plan_code, wanted.to_version)
        if wanted.from_version:
            await plan_store.load_plan(conn, tenant, wanted.plan_code, wanted.from_version)
    after, done = UUID(int=0), 0
    while True:
        async with begin(engine, tenant) as conn:
            uids = await store.find_on_plan(conn, tenant, wanted.plan_code, after=after, limit=PAGE)
        for uid in uids:
            told = await _migrate(
                engine, tenant, uid, wanted, version, now=now, validate_only=validate_only
            )
            if told is not None:
                done += 1
                told.done = done
                yield told
        if len(uids) < PAGE:
            return
        after = uids[-1]


async def _migrate(
    engine: AsyncEngine,
    tenant: Tenant,
    uid: UUID,
    wanted: Migration,
    version: PlanVersion,
    *,
    now: datetime,
    validate_only: bool,
) -> pb.MigrateSubscriptionsResponse | None:
    """Migrate one subscription; None if it is not one of those that are."""
    async with begin_command(engine, tenant, validate_only=validate_only) as conn:
        await change_catalog(conn, tenant)
        found = await store.load_subscription(conn, tenant, uid, lock=True)
        if not _is_wanted(found, wanted, version):
            return None
        old = await plan_store.load_version(conn, tenant, found.plan_version_id)
        told = pb.MigrateSubscriptionsResponse(
            subscription_id=found.subscription_id, from_version=found.plan_version
        )
        if wanted.mode is MigrationMode.REPRICE:
            told.problem = reprice_problem(old, version)
        if await plan_store.find_own_prices(conn, tenant, found.plan_version_id) is not None:
            told.problem = "it has prices of its own: they are to be changed first"
        if told.problem:
            return told
        legs = await load_legs_of(conn, tenant, found)
        at = _effective_at(found, legs, wanted, old, now)
        if found.end is not None and at >= found.end:
            told.problem = f"it ends at {found.end.isoformat()}, before {at.isoformat()}"
            return told
        told.effective_at.CopyFrom(timestamp(at))
        await _store(conn, tenant, found, legs, (wanted, old, version), at=at, now=now)
    return told


def _is_wanted(subscription: Subscription, wanted: Migration, version: PlanVersion) -> bool:
    number = subscription.plan_version
    of_plan = subscription.plan_code == wanted.plan_code and number != version.version
    alive = subscription.status not in (*ENDED, SubscriptionStatus.PAUSED)
    return of_plan and alive and wanted.from_version in (0, number)


def _effective_at(
    subscription: Subscription,
    legs: Sequence[Leg],
    wanted: Migration,
    old: PlanVersion,
    now: datetime,
) -> datetime:
    if wanted.at_period_end:
        return period_end(subscription, legs, old, now)
    if wanted.mode is MigrationMode.REPRICE:
        return period_start(subscription, legs, old, now)
    return max(now, subscription.start)


async def _store(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    legs: Sequence[Leg],
    how: tuple[Migration, PlanVersion, PlanVersion],
    *,
    at: datetime,
    now: datetime,
) -> None:
    wanted, old, new = how
    version_id = new.plan_version_id
    if wanted.mode is MigrationMode.REPRICE:
        term_id = present_leg(legs, now).term_id
        changed = repriced_legs(legs, term_id, at, version_id)
    else:
        changed = changed_legs(legs, version_id, at, end=subscription.end, term_id=uuid4())
    # Where the same meters are charged, every event counts where it did.
    same = wanted.mode is MigrationMode.REPRICE and _meters(old) == _meters(new)
    from_at = None if same else at
    stored = await store_change(conn, tenant, subscription, changed, now=now, from_at=from_at)
    await announce_changed(conn, tenant, stored)


def _meters(version: PlanVersion) -> set[tuple[str, bool]]:
    return {(charge.meter_code, charge.instant is not None) for charge in version.charges}
