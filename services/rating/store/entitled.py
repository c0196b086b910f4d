"""What checks of entitlements read: active subscriptions, and the windows in which use counts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import DayPeriod
from libs.tenant import Tenant
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.subscription import Subscription, SubscriptionStatus
from services.rating.store.base import INSTANT
from services.rating.store.periods import read_period, select_periods
from services.rating.store.schema import (
    billing_periods,
    meters,
    plan_versions,
    subscriptions,
    terms,
)
from services.rating.store.subscriptions import read_subscription, select_all


@dataclass(frozen=True, slots=True)
class Active:
    """A subscription that is active, and the event types that its plan version has counted."""

    subscription: Subscription
    counted_types: frozenset[str]


@dataclass(frozen=True, slots=True)
class TermDays:
    """Days of a term whose cells are asked for, by an id."""

    period_id: UUID
    term_id: UUID
    usage_days: DayPeriod


async def find_active(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_ids: Collection[str],
    subscription_ids: Collection[str],
    now: datetime,
) -> list[Active]:
    """Return the subscriptions of customers, and those named, that are active at `now`.

    Those that started first come first. Their instants decide, whether or not a loop has seen them.
    """
    asked = {
        "of_tenant": tenant,
        "customers": sorted(customer_ids),
        "ids": sorted(subscription_ids),
        "now": now,
    }
    return [
        Active(read_subscription(row), frozenset(row.counted_types or ()))
        for row in await conn.execute(_ACTIVE, asked)
    ]


async def find_counted_types(
    conn: AsyncConnection, tenant: Tenant, plan_version_id: UUID
) -> frozenset[str]:
    """Return the event types of the meters that a plan version charges."""
    query = select(_counted_types()).select_from(plan_versions)
    found = await conn.execute(query.filter_by(tenant=tenant, plan_version_id=plan_version_id))
    return frozenset(found.scalar_one() or ())


async def load_latest_periods(
    conn: AsyncConnection, tenant: Tenant, uids: Collection[UUID], *, now: datetime, count: int
) -> dict[UUID, list[BillingPeriod]]:
    """Return the last `count` usage periods of subscriptions that began by `now`, in order."""
    found: dict[UUID, list[BillingPeriod]] = {uid: [] for uid in uids}
    asked = {"of_tenant": tenant, "uids": sorted(uids), "now": now, "count": count}
    for row in await conn.execute(_LATEST_PERIODS, asked):
        found[row.subscription_uid].append(read_period(row))
    return found


async def load_own_terms(
    conn: AsyncConnection, tenant: Tenant, uids: Collection[UUID]
) -> dict[UUID, list[UUID]]:
    """Return the terms of subscriptions, by uid, but for those from before their starts."""
    found: dict[UUID, list[UUID]] = {uid: [] for uid in uids}
    for row in await conn.execute(_OWN_TERMS, {"of_tenant": tenant, "uids": sorted(uids)}):
        found[row.subscription_uid].append(row.term_id)
    return found


def _counted_types() -> Any:
    types = select(func.array_agg(meters.c.event_type)).where(
        meters.c.tenant == plan_versions.c.tenant,
        meters.c.code == func.any(plan_versions.c.meter_codes),
    )
    return types.correlate(plan_versions).scalar_subquery().label("counted_types")


def _active() -> Any:
    columns, now = subscriptions.c, bindparam("now", type_=INSTANT)
    named = columns.customer_id == any_(bindparam("customers", type_=ARRAY(Text)))
    named |= columns.subscription_id == any_(bindparam("ids", type_=ARRAY(Text)))
    live = (SubscriptionStatus.PENDING, SubscriptionStatus.ACTIVE)
    return (
        select_all()
        .add_columns(_counted_types())
        .where(
            columns.tenant == bindparam("of_tenant"),
            named,
            columns.status.in_(live),
            columns.starts_at <= now,
            columns.ends_at.is_(None) | (columns.ends_at > now),
        )
        .order_by(columns.starts_at, columns.subscription_id)
    )


def _of_uids(column: Any) -> Any:
    return column == any_(bindparam("uids", type_=ARRAY(Uuid)))


def _latest_periods() -> Any:
    columns = billing_periods.c
    place = func.row_number().over(
        partition_by=columns.subscription_uid, order_by=columns.usage_start.desc()
    )
    latest = (
        select(columns.tenant, columns.period_id, place.label("place"))
        .where(
            columns.tenant == bindparam("of_tenant"),
            _of_uids(columns.subscription_uid),
            columns.kind == PeriodKind.USAGE,
            columns.usage_start <= bindparam("now", type_=INSTANT),
        )
        .subquery()
    )
    same = (latest.c.tenant == columns.tenant) & (latest.c.period_id == columns.period_id)
    return (
        select_periods()
        .join(latest, same)
        .where(latest.c.place <= bindparam("count"))
        .order_by(columns.usage_start)
    )


# Made once: checks are asked for all the time.
_ACTIVE = _active()
_LATEST_PERIODS = _latest_periods()
_OWN_TERMS = (
    select(terms.c.subscription_uid, terms.c.term_id)
    .where(terms.c.tenant == bindparam("of_tenant"), _of_uids(terms.c.subscription_uid))
    .where(~terms.c.early)
    .distinct()
)
