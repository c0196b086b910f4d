"""Reading usage, priced: of a period, or of its part before an instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import Snapshots, begin
from libs.errors import FieldInvalid
from libs.period import Period
from libs.tenant import Tenant
from libs.wire import period_message
from services.rating.domain.cell import Cell
from services.rating.domain.folding import Folded
from services.rating.domain.period import BillingPeriod
from services.rating.domain.usage_query import sources_before
from services.rating.operations.log import Log
from services.rating.operations.messages import fee_message
from services.rating.operations.rating import LoadedUsage, Rated, load_usage, rate_now, total
from services.rating.operations.refolding import Refolding, fold_again, load_refolding
from services.rating.operations.single_events import Asked, ReadEvents, read_events
from services.rating.store.periods import load_usage_period
from services.rating.store.subscriptions import load_newest
from tally.rating.v1 import usage_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class UsageReader:
    """Where one tenant's usage is read: cells, and the log that they were folded from."""

    app: AsyncEngine
    worker: AsyncEngine
    log: Log
    tenant: Tenant

    @property
    def snapshots(self) -> Snapshots:
        """Transactions that see everything as of one instant."""
        return Snapshots(self.app, self.worker, self.tenant)


async def find_customer(app: AsyncEngine, tenant: Tenant, subscription_id: str) -> str:
    """Return whose the newest life of a subscription is.

    Raises:
        SubscriptionNotFound: there is none of that id.
    """
    async with begin(app, tenant) as conn:
        return (await load_newest(conn, tenant, subscription_id)).customer_id


async def get_usage(reader: UsageReader, subscription_id: str, at: datetime) -> pb.GetUsageResponse:
    """Price the usage period of the newest life of a subscription that holds `at`.

    What it has cost so far has no minimums.

    Raises:
        SubscriptionNotFound: there is none of that id.
        PeriodNotFound: no usage period holds `at`.
        Unavailable: a price looks at single events, and they cannot be read.
    """

    async def find(conn: AsyncConnection) -> BillingPeriod:
        subscription = await load_newest(conn, reader.tenant, subscription_id)
        return await load_usage_period(conn, reader.tenant, subscription, at)

    period, rated = await rate_now(reader.app, reader.log, reader.tenant, find, closing=False)
    return usage_answer(period, rated)


async def get_usage_before(
    reader: UsageReader, subscription_id: str, at: datetime, as_of: datetime
) -> pb.GetUsageResponse:
    """Price the events dated before `as_of` of the usage period that holds `at`.

    Whole days come from the cells; the day in which `as_of` lies is folded again from the log, up
    to where the cells are.

    Raises:
        SubscriptionNotFound: there is none of that id.
        PeriodNotFound: no usage period holds `at`.
        FieldInvalid: `as_of` lies outside of the period.
        UsageQueryTooLarge: that day has more than 10 million events of the customer.
        Unavailable: a shard of the log is away.
    """
    tenant = reader.tenant
    async with reader.snapshots.begin() as conn:
        subscription = await load_newest(conn, tenant, subscription_id)
        period = await load_usage_period(conn, tenant, subscription, at)
        before = _before(period, as_of)
        refolding = await load_refolding(conn, tenant, period.customer_id)
        terms = refolding.catalog.terms[period.customer_id]
        legs = [one for one in terms if one.term_id == period.term_id]
        sources = sources_before(legs, period.usage_days, before)
        loaded = await load_usage(conn, tenant, [replace(period, counted=sources.days)])
    folded = await fold_again(reader.log, refolding, sources.parts, terms={period.term_id})
    stored = loaded.cells.get(period.period_id, {})
    cut = replace(loaded, cells={period.period_id: _together(stored, folded)})
    read = await _read_before(reader, refolding, period, cut, before.end)
    return usage_answer(period, cut.price(period, read, closing=False))


async def _read_before(
    reader: UsageReader,
    refolding: Refolding,
    period: BillingPeriod,
    cut: LoadedUsage,
    end: datetime,
) -> ReadEvents | None:
    """Return the single events before `end` that prices look at; None if they look at none."""
    counted = cut.counted(period)
    if counted is None:
        return None
    terms = refolding.catalog.terms[period.customer_id]
    asked = Asked(reader.tenant, period, counted, terms, refolding.applied, end)
    return (await read_events(reader.log, [asked]))[period.period_id]


def _before(period: BillingPeriod, as_of: datetime) -> Period:
    start, end = period.usage.start, period.usage.end
    if not start <= as_of <= end:
        problem = f"is not within the period, {start.isoformat()} to {end.isoformat()}"
        raise FieldInvalid("as_of", problem)
    return Period(start, as_of)


def _together(
    stored: Mapping[UUID, Sequence[Cell]], folded: Folded
) -> Mapping[UUID, Sequence[Cell]]:
    """Return stored cells and those folded again, by meter."""
    found = {meter_id: list(cells) for meter_id, cells in stored.items()}
    for key, cell in folded.cells.items():
        found.setdefault(key.meter_id, []).append(replace(cell, day=key.day))
    return found


def usage_answer(period: BillingPeriod, rated: Rated) -> pb.GetUsageResponse:
    """Write what a period costs so far."""
    return pb.GetUsageResponse(
        period=period_message(period.usage.start, period.usage.end),
        fees=[fee_message(fee, period.currency) for fee in rated.fees],
        amount=total(rated.fees, period.currency),
        high_cardinality_meter_codes=rated.high_cardinality_codes,
    )
