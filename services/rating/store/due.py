"""What is due: groups of billing periods to announce, and when something is due next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Select,
    bindparam,
    func,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.subscription import ENDED, SubscriptionStatus
from services.rating.store.alert_schema import alerts
from services.rating.store.base import INSTANT
from services.rating.store.periods import read_period, select_periods
from services.rating.store.schema import billing_periods, subscriptions


@dataclass(frozen=True, slots=True)
class DueGroup:
    """The open billing periods of one customer and currency that become due together.

    `usage_end` is when the last usage among them ends; None: they bill no usage.
    """

    tenant: Tenant
    customer_id: str
    currency: str
    due_at: datetime
    usage_end: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many things are due at an instant and not done."""

    periods: int
    subscriptions: int


async def find_due_groups(
    conn: AsyncConnection, now: datetime, *, limit: int
) -> Sequence[DueGroup]:
    """Return up to `limit` groups that are due by `now` and not announced, oldest first."""
    columns = billing_periods.c
    group = (columns.due_at, columns.tenant, columns.customer_id, columns.currency)
    is_usage = columns.kind == PeriodKind.USAGE
    query = (
        select(*group, func.max(columns.usage_end).filter(is_usage).label("usage_end"))
        .where(columns.status == PeriodStatus.OPEN, columns.due_at <= now)
        .group_by(*group)
        .order_by(*group)
        .limit(limit)
    )
    return [
        DueGroup(
            tenant=Tenant(row.tenant),
            customer_id=row.customer_id,
            currency=row.currency,
            due_at=row.due_at.astimezone(UTC),
            usage_end=None if row.usage_end is None else row.usage_end.astimezone(UTC),
        )
        for row in await conn.execute(query)
    ]


async def lock_groups(
    conn: AsyncConnection, groups: Sequence[DueGroup]
) -> dict[DueGroup, list[BillingPeriod]]:
    """Return the periods of `groups` that are still open, locked in the order of their ids."""
    columns = billing_periods.c
    query = (
        select_periods()
        .where(
            columns.status == PeriodStatus.OPEN,
            # Each by itself, so that the index of open ones is used whatever is known of them.
            among(columns.due_at, {group.due_at for group in groups}),
            among(columns.tenant, {group.tenant for group in groups}),
            among(columns.customer_id, {group.customer_id for group in groups}),
        )
        .order_by(columns.period_id)
        .with_for_update(of=billing_periods, key_share=True)
    )
    place = {(one.tenant, one.customer_id, one.currency, one.due_at): one for one in groups}
    found: dict[DueGroup, list[BillingPeriod]] = {}
    for row in await conn.execute(query):
        group = place.get((Tenant(row.tenant), row.customer_id, row.currency, row.due_at))
        if group is not None:  # Else one that was not asked for is locked with the others.
            found.setdefault(group, []).append(read_period(row))
    return {group: found[group] for group in groups if group in found}


async def count_waiting(conn: AsyncConnection, now: datetime) -> Waiting:
    """Count what is due by `now` and not done."""
    row = (await conn.execute(COUNT_WAITING, {"now": now})).one()
    return Waiting(periods=row[0], subscriptions=row[1])


async def find_next_due(conn: AsyncConnection) -> datetime | None:
    """Return the earliest instant at which something becomes due; None: nothing will."""
    earliest = (await conn.execute(FIND_NEXT_DUE)).scalar_one_or_none()
    return None if earliest is None else earliest.astimezone(UTC)


def _count_waiting() -> Select[Any]:
    now = bindparam("now", type_=INSTANT)
    periods = select(func.count()).where(
        billing_periods.c.status == PeriodStatus.OPEN, billing_periods.c.due_at <= now
    )
    columns = subscriptions.c
    changes = select(func.count()).where(
        ((columns.status == SubscriptionStatus.PENDING) & (columns.starts_at <= now))
        | (columns.status.not_in(ENDED) & (columns.ends_at <= now))
        | (columns.extend_at <= now)
        | (columns.changes_at <= now)
    )
    return select(periods.scalar_subquery(), changes.scalar_subquery())


def _find_next_due() -> Select[Any]:
    columns = subscriptions.c
    candidates: list[Any] = [
        select(func.min(billing_periods.c.due_at).label("instant")).where(
            billing_periods.c.status == PeriodStatus.OPEN
        ),
        select(func.min(columns.starts_at)).where(columns.status == SubscriptionStatus.PENDING),
        select(func.min(columns.ends_at)).where(columns.status.not_in(ENDED)),
        select(func.min(columns.changes_at)),
        select(func.min(columns.extend_at)),
        select(func.min(billing_periods.c.renews_at)),
        select(func.min(alerts.c.looks_at)),
    ]
    return select(func.min(union_all(*candidates).subquery().c.instant))


# Made once: whoever waits for a suite to come to rest asks again and again.
COUNT_WAITING = _count_waiting()
FIND_NEXT_DUE = _find_next_due()
