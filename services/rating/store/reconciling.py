"""Bringing the stored billing periods of a subscription in line with what is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.life_periods import LifePeriod
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.subscription import Subscription, UnusedFee
from services.rating.store.instant_schema import instant_bills, instant_fees, instant_states
from services.rating.store.periods import (
    Planned,
    insert_periods,
    read_period,
    select_periods,
    windows_of,
)
from services.rating.store.schema import billing_periods
from services.rating.store.threshold_schema import threshold_crossings

Key = tuple[UUID, PeriodKind, date]  # Term, kind, and first day of the whole period.
PAID_AHEAD = (PeriodKind.BASE, PeriodKind.FIXED)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What reconciling changed: periods that were announced already, as they were before."""

    late: tuple[BillingPeriod, ...]


async def reconcile_periods(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    planned: Sequence[LifePeriod],
) -> Reconciled:
    """Make the periods of a locked subscription those that are `planned`.

    Missing ones are added; open ones are changed, or vanish; those that were announced get the new
    windows, empty ones if they are not planned any more. What they bill differently, the caller has
    to tell. Locks all open ones of the customer too, as announcing them does: by their ids.
    """
    stored = await _lock(conn, tenant, subscription)
    wanted = {_key(one): one for one in planned}
    late = []
    for key, period in stored.items():
        one = wanted.pop(key, None)
        if period.status is PeriodStatus.OPEN:
            await _change_open(conn, tenant, period, one)
        elif period.status is not PeriodStatus.SKIPPED and not _is_kept(subscription, period):
            if await _change_announced(conn, tenant, period, one):
                late.append(period)
    await insert_periods(conn, [_planned(tenant, subscription, one) for one in wanted.values()])
    return Reconciled(tuple(late))


async def skip_last(conn: AsyncConnection, tenant: Tenant, subscription: Subscription) -> None:
    """See to it that open periods that end with a locked subscription are never billed."""
    await conn.execute(
        update(billing_periods)
        .filter_by(
            tenant=tenant,
            subscription_uid=subscription.subscription_uid,
            status=PeriodStatus.OPEN,
            usage_end=subscription.end,
        )
        .values(status=PeriodStatus.SKIPPED, renews_at=None)
    )


async def _lock(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription
) -> dict[Key, BillingPeriod]:
    """Return the periods of a subscription but for those that bill instant fees early."""
    columns = billing_periods.c
    own = columns.subscription_uid == subscription.subscription_uid
    open_ones = (columns.customer_id == subscription.customer_id) & (
        columns.status == PeriodStatus.OPEN
    )
    query = (
        select_periods()
        .where(columns.tenant == tenant, own | open_ones)
        .order_by(columns.period_id)
        .with_for_update(of=billing_periods, key_share=True)
    )
    found = [read_period(row) for row in await conn.execute(query)]
    return {
        (one.term_id, one.kind, one.whole.first_day): one
        for one in found
        if one.subscription_uid == subscription.subscription_uid
        and one.kind is not PeriodKind.INSTANT  # What was rated is billed whatever the end.
    }


def _key(one: LifePeriod) -> Key:
    return one.term_id, one.period.kind, one.period.stretch.whole.first_day


def _is_kept(subscription: Subscription, period: BillingPeriod) -> bool:
    """Tell whether what was paid ahead stays, since nothing is given back for unused days."""
    return subscription.unused_fee is UnusedFee.SKIP and period.kind in PAID_AHEAD


async def _change_open(
    conn: AsyncConnection, tenant: Tenant, period: BillingPeriod, one: LifePeriod | None
) -> None:
    key = {"tenant": tenant, "period_id": period.period_id}
    if one is None:
        gone = await conn.execute(delete(billing_periods).filter_by(**key).where(_was_not_billed()))
        if not gone.rowcount:  # Its close gives back what was billed of it before.
            empty = _nothing(period, _stored(period)) | {"renews_at": None}
            await conn.execute(update(billing_periods).filter_by(**key).values(empty))
        return
    wanted = _columns(one)
    if wanted != _stored(period) | {"due_at": period.due_at}:
        await conn.execute(update(billing_periods).filter_by(**key).values(wanted))


async def _change_announced(
    conn: AsyncConnection, tenant: Tenant, period: BillingPeriod, one: LifePeriod | None
) -> bool:
    """Give an announced period its new windows; tell whether it bills something else now."""
    stored = _stored(period)
    wanted = _nothing(period, stored) if one is None else _columns(one)
    wanted.pop("due_at", None)
    if period.status is PeriodStatus.CLOSED or period.kind in PAID_AHEAD:
        wanted["plan_version_id"] = period.plan_version_id
    if wanted == stored:
        return False
    key = {"tenant": tenant, "period_id": period.period_id}
    await conn.execute(update(billing_periods).filter_by(**key).values(wanted))
    priced = {"plan_version_id", "fee_first_day", "fee_end_day", "paused_days", "whole_end_day"}
    if period.kind is PeriodKind.USAGE:
        priced |= {"usage_end_day", "usage_start", "usage_end", "time_zone"}
    return any(wanted[name] != stored[name] for name in priced)


def _was_not_billed() -> ColumnElement[bool]:
    """Return that no event of a period was priced as it came, and that no threshold told of it."""
    own = (billing_periods.c.tenant, billing_periods.c.period_id)
    kept = [
        select(1).where(table.c.tenant == own[0], table.c.period_id == own[1]).exists()
        for table in (instant_states, instant_fees)
    ]
    billed = instant_bills.c.usage_period_id == own[1]
    kept.append(select(1).where(instant_bills.c.tenant == own[0], billed).exists())
    crossed = threshold_crossings.c.period_id == own[1]
    kept.append(select(1).where(threshold_crossings.c.tenant == own[0], crossed).exists())
    return not_(or_(*kept))


def _columns(one: LifePeriod) -> dict[str, Any]:
    return windows_of(one.period) | {
        "plan_version_id": one.plan_version_id,
        "time_zone": one.time_zone,
    }


def _stored(period: BillingPeriod) -> dict[str, Any]:
    return {
        "whole_first_day": period.whole.first_day,
        "whole_end_day": period.whole.end_day,
        "fee_first_day": period.fee_days.first_day,
        "fee_end_day": period.fee_days.end_day,
        "usage_end_day": period.usage_days.end_day,
        "paused_days": [day for one in period.paused for day in (one.first_day, one.end_day)],
        "usage_start": period.usage.start,
        "usage_end": period.usage.end,
        "plan_version_id": period.plan_version_id,
        "time_zone": period.time_zone,
    }


def _nothing(period: BillingPeriod, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a period that is not planned any more: it costs nothing."""
    first_day = period.fee_days.first_day
    return {
        **stored,
        "fee_end_day": first_day,
        "usage_end_day": first_day,
        "usage_end": period.usage.start,
        "paused_days": [],
    }


def _planned(tenant: Tenant, subscription: Subscription, one: LifePeriod) -> Planned:
    return Planned(
        tenant,
        subscription,
        one.term_id,
        one.period,
        one.held_codes,
        plan_version_id=one.plan_version_id,
        time_zone=one.time_zone,
    )
