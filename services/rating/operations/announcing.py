"""Announcing billing periods as due: all of a customer's and currency's at once, and complete."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox
from libs.db import begin_worker
from libs.telemetry import headers, tracer
from libs.tenant import Tenant
from libs.wire import timestamp
from services.rating.domain.event import micros
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.operations.messages import billing_period_message
from services.rating.store.due import DueGroup, find_due_groups, lock_groups
from services.rating.store.instant_slices import find_first_times
from services.rating.store.periods import set_status
from services.rating.store.reattributions import find_jobs
from services.rating.store.renewals import find_first_renewals
from tally.rating.v1 import events_pb2

GROUPS_MAX = 1_000  # In one transaction.
AT_ONCE = 2  # Transactions: Python works on one while PostgreSQL does on the other.

spans = tracer(__name__)


async def load_due_groups(worker: AsyncEngine, now: datetime) -> Sequence[DueGroup]:
    """Return what is due by `now` and not announced, oldest first."""
    async with begin_worker(worker) as conn:
        return await find_due_groups(conn, now, limit=AT_ONCE * GROUPS_MAX)


async def announce_many(
    worker: AsyncEngine, groups: Sequence[DueGroup], watermark: datetime | None
) -> int:
    """Announce `groups` as `announce` does, in several transactions that share no customer."""
    customers = sorted({(group.tenant, group.customer_id) for group in groups})
    place = {customer: number % AT_ONCE for number, customer in enumerate(customers)}
    shares: list[list[DueGroup]] = [[] for _ in range(AT_ONCE)]
    for group in groups:
        shares[place[group.tenant, group.customer_id]].append(group)
    return sum(
        await asyncio.gather(*(announce(worker, share, watermark) for share in shares if share))
    )


async def announce(
    worker: AsyncEngine, groups: Sequence[DueGroup], watermark: datetime | None
) -> int:
    """Announce the open periods of those of `groups` that may be; return how many groups.

    Every event acknowledged before `watermark` is in the cells; None: nothing is known. Each
    announcement begins a trace of its own.
    """
    async with begin_worker(worker) as conn:
        locked = await lock_groups(conn, groups)
        customers = {(group.tenant, group.customer_id) for group in locked}
        partial = await find_jobs(conn, customers)  # Whose cells are not whole.
        unpriced = await find_first_times(conn, {group.tenant for group in locked})
        renewals = await find_first_renewals(conn, customers)
        chosen = {
            group: periods
            for group, periods in locked.items()
            if is_complete(periods, watermark)
            and (group.tenant, group.customer_id) not in partial
            and not _has_unpriced(periods, unpriced.get(group.tenant))
            and not _has_renewals(group, renewals.get((group.tenant, group.customer_id)))
        }
        announced: dict[Tenant, list[UUID]] = {}
        for group, periods in chosen.items():
            announced.setdefault(group.tenant, []).extend(one.period_id for one in periods)
        await set_status(conn, announced, PeriodStatus.DUE)
        await outbox.append_all(conn, [_announcement(*one) for one in chosen.items()])
    return len(chosen)


def is_complete(periods: Sequence[BillingPeriod], watermark: datetime | None) -> bool:
    """Tell whether the usage of `periods` is in the cells; base fees have none."""
    ends = [period.usage.end for period in periods if period.kind is PeriodKind.USAGE]
    return not ends or (watermark is not None and max(ends) <= watermark)


def _has_unpriced(periods: Sequence[BillingPeriod], first_time: int | None) -> bool:
    """Tell whether instant fees of usage `periods` may be missing, from that time on."""
    ends = [period.usage.end for period in periods if period.kind is PeriodKind.USAGE]
    return first_time is not None and bool(ends) and first_time < micros(max(ends))


def _has_renewals(group: DueGroup, first: datetime | None) -> bool:
    """Tell whether seats of the customer, to be renewed at `first`, go with the group."""
    return first is not None and first <= group.due_at


def _announcement(group: DueGroup, periods: Sequence[BillingPeriod]) -> outbox.Announcement:
    with spans.start_as_current_span("announce billing periods", context=Context()):
        return group.tenant, _billing_period_due(group, periods), headers()


def _billing_period_due(
    group: DueGroup, periods: Sequence[BillingPeriod]
) -> events_pb2.BillingPeriodDue:
    oldest_first = sorted(
        periods, key=lambda period: (period.usage.start, period.subscription_id, period.kind)
    )
    return events_pb2.BillingPeriodDue(
        customer_id=group.customer_id,
        currency_code=group.currency,
        due_at=timestamp(group.due_at),
        time_zone=oldest_first[0].time_zone,
        periods=[billing_period_message(period, PeriodStatus.DUE) for period in oldest_first],
    )
