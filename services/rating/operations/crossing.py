"""Finding which usage thresholds a subscription has crossed, and announcing it once.

Usage is read as of one instant, with what was announced before. What is found is stored under the
period's lock, if nothing else was announced of it since: of two that look at once, one begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import Snapshots, begin, begin_worker
from libs.errors import Refused
from libs.money import EXACT, Money, to_decimal
from libs.telemetry import tracer
from libs.tenant import Tenant
from libs.wire import Page, page_token, parse_page_token
from services.rating.domain.fee import Fee
from services.rating.domain.period import BillingPeriod, PeriodStatus
from services.rating.domain.plan import PlanVersion
from services.rating.domain.thresholds import crossed
from services.rating.operations.crossing_messages import (
    crossing_message,
    rated_crossing_message,
    threshold_crossed,
)
from services.rating.operations.log import Log
from services.rating.operations.rating import load_usage
from services.rating.operations.single_events import load_asked, read_events
from services.rating.store import crossings as store
from services.rating.store.crossings import Crossing
from services.rating.store.periods import load_period
from services.rating.store.plans import load_versions
from services.rating.store.reattributions import find_jobs
from services.rating.store.watched import Noted, Purpose, find_noted, strike_off, watch
from tally.rating.v1 import rating_service_pb2 as pb

SUBSCRIPTIONS_MAX = 100  # Looked at in one go.
ZERO = Decimal(0)

spans = tracer(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """What of a subscription's usage is not billed: periods in their order, and their fees.

    `billed` is what was billed of it before, and used before it was known here, in currency units;
    `last` are the last crossings of its periods.
    """

    noted: Noted
    billed: Decimal
    periods: Sequence[BillingPeriod]
    fees: Mapping[UUID, tuple[Fee, ...]]
    last: Mapping[UUID, Crossing]


class Outrun(Exception):
    """Something else was announced of a period since its usage was read, or it is billed."""


async def watch_thresholds(
    conn: AsyncConnection, tenant: Tenant, subscription_id: str, versions: Iterable[PlanVersion]
) -> None:
    """Have usage of a subscription looked at, now and when it changes, if it has thresholds.

    The caller holds the catalog.
    """
    if any(version.usage_thresholds is not None for version in versions):
        await watch(conn, tenant, [subscription_id], Purpose.THRESHOLDS)


async def find_changed(worker: AsyncEngine) -> Sequence[Noted]:
    """Return subscriptions with thresholds whose usage changed."""
    async with begin_worker(worker) as conn:
        return await find_noted(conn, Purpose.THRESHOLDS, limit=SUBSCRIPTIONS_MAX)


async def look(
    worker: AsyncEngine, log: Log, noted: Sequence[Noted], *, now: datetime
) -> tuple[int, int]:
    """Look at what was noted; return how many were done, and how often any was crossed.

    Those whose usage is being attributed again wait.

    Raises:
        Unavailable: a price looks at single events, and they cannot be read.
    """
    done = told = 0
    for tenant in sorted({one.tenant for one in noted}):
        own = [one for one in noted if one.tenant == tenant]
        with spans.start_as_current_span("look at usage thresholds", context=Context()):
            for usage, versions in await _read(worker, log, tenant, own, now):
                found = _crossings(usage, versions, now)
                try:
                    await _store(worker, tenant, usage, found)
                except Outrun:
                    continue
                done, told = done + 1, told + len(found)
    return done, told


async def get_crossing(
    engine: AsyncEngine, tenant: Tenant, crossing_id: UUID
) -> pb.GetThresholdCrossingResponse:
    """Return a crossing with what the period cost then.

    Raises:
        ThresholdCrossingNotFound: there is none.
        PeriodNotFound: its period is not billed any more.
    """
    async with begin(engine, tenant) as conn:
        crossing = await store.load_crossing(conn, tenant, crossing_id)
        period = await load_period(conn, tenant, crossing.period_id)
        versions = await load_versions(conn, [tenant], [crossing.plan_version_id])
    rated = rated_crossing_message(period, crossing, versions[crossing.plan_version_id])
    return pb.GetThresholdCrossingResponse(crossing=rated)


async def list_crossings(
    engine: AsyncEngine, tenant: Tenant, subscription_id: str, page: Page
) -> pb.ListThresholdCrossingsResponse:
    """Return a page of crossings by time, of one subscription if one is named.

    Raises:
        PageTokenInvalid: the token is not of this list.
    """
    keys = parse_page_token(page.token, datetime, UUID)
    after: tuple[datetime, UUID] | None = keys or None  # type: ignore[assignment]
    async with begin(engine, tenant) as conn:
        found = await store.list_crossings(
            conn, tenant, subscription_id=subscription_id, after=after, limit=page.size + 1
        )
    shown = found[: page.size]
    token = ""
    if len(found) > len(shown):
        token = page_token(shown[-1].crossed_at, shown[-1].crossing_id)
    return pb.ListThresholdCrossingsResponse(
        crossings=[crossing_message(one) for one in shown], next_page_token=token
    )


async def _read(
    worker: AsyncEngine, log: Log, tenant: Tenant, noted: Sequence[Noted], now: datetime
) -> list[tuple[Usage, Mapping[UUID, PlanVersion]]]:
    ids = [one.subscription_id for one in noted]
    async with Snapshots(worker, worker, tenant).begin() as conn:
        periods = await store.load_unbilled_periods(conn, tenant, ids, now)
        every = [one for of_id in periods.values() for one in of_id]
        invoiced = await store.load_invoiced_minor(conn, tenant, ids)
        historical = await store.load_historical(conn, tenant, ids)
        last = await store.load_last_crossings(conn, tenant, {one.period_id for one in every})
        jobs = await find_jobs(conn, {(tenant, one.customer_id) for one in every})
        whole = [one for one in every if (tenant, one.customer_id) not in jobs]
        loaded = await load_usage(conn, tenant, whole)
        asked = await load_asked(conn, loaded.asked(tenant, whole))
    read = await read_events(log, asked)
    fees: dict[UUID, tuple[Fee, ...]] = {}
    for one in whole:
        try:
            fees[one.period_id] = loaded.price(one, read.get(one.period_id), closing=False).fees
        except Refused:
            continue  # Whoever asks for the usage is told why.
    chosen = {one.period_id for one in whole}
    found = []
    for each in noted:
        own = periods[each.subscription_id]
        if not all(one.period_id in chosen for one in own):
            continue
        billed = historical.get(each.subscription_id, ZERO)
        if own:
            minor = invoiced.get(each.subscription_id, 0)
            billed = EXACT.add(billed, to_decimal(Money(own[0].currency, minor)))
        found.append((Usage(each, billed, own, fees, last), loaded.versions))
    return found


def _crossings(usage: Usage, versions: Mapping[UUID, PlanVersion], now: datetime) -> list[Crossing]:
    """Return what is to be announced: one crossing for each open period that crossed any."""
    found = []
    billed = usage.billed
    for period in usage.periods:
        fees = usage.fees.get(period.period_id, ())
        minor = sum(fee.amount_minor for fee in fees)
        current = to_decimal(Money(period.currency, minor))
        last = usage.last.get(period.period_id)
        part = ZERO if last is None else to_decimal(Money(period.currency, last.amount_minor))
        thresholds = versions[period.plan_version_id].usage_thresholds
        now_crossed = (
            crossed(
                thresholds,
                billed=EXACT.add(billed, part),
                fresh=EXACT.subtract(current, part),
            )
            if thresholds is not None and period.status is PeriodStatus.OPEN
            else []
        )
        billed = EXACT.add(billed, current)
        if now_crossed:
            found.append(
                Crossing(
                    crossing_id=uuid4(),
                    period_id=period.period_id,
                    subscription_id=period.subscription_id,
                    currency=period.currency,
                    sequence=1 if last is None else last.sequence + 1,
                    plan_version_id=period.plan_version_id,
                    crossed_at=now,
                    crossed=tuple(now_crossed),
                    lifetime_amount=billed,
                    amount_minor=minor,
                    fees=fees,
                )
            )
    return found


async def _store(
    worker: AsyncEngine, tenant: Tenant, usage: Usage, found: Sequence[Crossing]
) -> None:
    """Store and announce crossings of a subscription.

    Raises:
        Outrun: one does not hold any more; nothing is stored, and the notes are left.
    """
    async with begin_worker(worker) as conn:
        for crossing in sorted(found, key=lambda one: one.period_id):
            period = await load_period(conn, tenant, crossing.period_id, lock=True)
            last = await store.load_last_crossings(conn, tenant, [period.period_id])
            before = last[period.period_id].sequence if last else 0
            priced = period.plan_version_id == crossing.plan_version_id
            if period.status is not PeriodStatus.OPEN or not priced:
                raise Outrun
            if before != crossing.sequence - 1:
                raise Outrun
            await store.insert_crossing(conn, tenant, crossing)
            await outbox.append(conn, tenant, threshold_crossed(period, crossing))
        await strike_off(conn, [usage.noted])
