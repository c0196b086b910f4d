"""Announcing billing periods as due: all of a customer's and currency's at once, and complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox
from libs.db import begin_worker
from libs.telemetry import tracer
from libs.wire import timestamp
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.operations.messages import billing_period_message
from services.rating.store.due import DueGroup, find_due_groups, lock_group
from services.rating.store.periods import set_status
from services.rating.store.reattributions import find_job
from tally.rating.v1 import events_pb2

GROUPS_MAX = 500

spans = tracer(__name__)


async def load_due_groups(worker: AsyncEngine, now: datetime) -> Sequence[DueGroup]:
    """Return what is due by `now` and not announced, oldest first."""
    async with begin_worker(worker) as conn:
        return await find_due_groups(conn, now, limit=GROUPS_MAX)


async def announce(worker: AsyncEngine, group: DueGroup, watermark: datetime | None) -> bool:
    """Announce the open periods of `group`; return whether there were any that may be.

    Every event acknowledged before `watermark` is in the cells; None: nothing is known.
    """
    with spans.start_as_current_span("announce billing periods"):
        async with begin_worker(worker) as conn:
            periods = await lock_group(conn, group)
            if not periods or not is_complete(periods, watermark):
                return False
            if await find_job(conn, group.tenant, group.customer_id) is not None:
                return False  # Its cells are not whole.
            for period in periods:
                await set_status(conn, group.tenant, period.period_id, PeriodStatus.DUE)
            await outbox.append(conn, group.tenant, _billing_period_due(group, periods))
    return True


def is_complete(periods: Sequence[BillingPeriod], watermark: datetime | None) -> bool:
    """Tell whether the usage of `periods` is in the cells; base fees have none."""
    ends = [period.usage.end for period in periods if period.kind is PeriodKind.USAGE]
    return not ends or (watermark is not None and max(ends) <= watermark)


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
        periods=[
            billing_period_message(replace(period, status=PeriodStatus.DUE))
            for period in oldest_first
        ],
    )
