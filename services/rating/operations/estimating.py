"""Pricing what events would add, as if they came after all that is stored."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from libs.wire import money_message, period_message
from services.rating.domain.attribution import Catalog
from services.rating.domain.cell import Cell, CellKey
from services.rating.domain.estimating import as_slice, local_terms, with_cells
from services.rating.domain.event import UsageEvent
from services.rating.domain.fee import Fee, adjustments
from services.rating.domain.folding import fold
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import PlanVersion
from services.rating.domain.single_events import single_events
from services.rating.domain.usage_fees import Events
from services.rating.operations.carrying import with_carried
from services.rating.operations.messages import PERIOD_STATUSES, fee_message
from services.rating.operations.rating import price_period
from services.rating.operations.reattributing import check_not_reattributing
from services.rating.operations.single_events import (
    Asked,
    ReadEvents,
    counted_of,
    load_asked,
    read_events,
)
from services.rating.operations.usage import UsageReader
from services.rating.store.catalog import load_meters_by_type, load_terms
from services.rating.store.cells import load_cells
from services.rating.store.periods import load_touched
from services.rating.store.plans import load_versions
from tally.common.v1.money_pb2 import Money as MoneyMessage
from tally.rating.v1 import usage_service_pb2 as pb

Day = tuple[UUID, date]  # Of a term.
Cells = Mapping[UUID, Mapping[UUID, Sequence[Cell]]]  # By period and meter.


@dataclass(frozen=True, slots=True)
class _Books:
    """Who takes the events, and what the periods that they fall into are priced from."""

    catalog: Catalog
    days: Sequence[Sequence[Day]]  # Of each event; none: nobody takes it.
    periods: Mapping[Day, BillingPeriod]
    versions: Mapping[UUID, PlanVersion]
    before: Cells
    added: Mapping[UUID, Sequence[tuple[CellKey, Cell]]]  # What the events add, by period.
    asked: Sequence[Asked]  # Periods whose prices look at single events.


async def estimate_events(
    reader: UsageReader, events: Sequence[UsageEvent]
) -> pb.EstimateEventsResponse:
    """Price the usage periods that `events`, at least one, fall into without and with them.

    Raises:
        AmountTooLarge: a period costs more than money can be written in.
        PriceNotComputable: a custom price has no value.
        Unavailable: the usage of one of the customers is being attributed again.
    """
    async with reader.snapshots.begin() as conn:
        books = await _load_books(conn, reader.tenant, events)
    read = await read_events(reader.log, books.asked)
    return await asyncio.to_thread(_estimate, events, books, read)


async def _load_books(
    conn: AsyncConnection, tenant: Tenant, events: Sequence[UsageEvent]
) -> _Books:
    customers = {(tenant, event.customer_id) for event in events}
    terms = await load_terms(conn, customers)
    meters = await load_meters_by_type(conn, [tenant])
    catalog = Catalog(0, meters[tenant], {who: found for (_, who), found in terms.items()})
    taken = local_terms(events, catalog)
    days = [[(term.term_id, day) for term, day in of_event] for of_event in taken]
    asked = {day for of_event in days for day in of_event}
    periods = await load_touched(conn, tenant, asked) if asked else []
    await check_not_reattributing(conn, tenant, periods)
    versions = await load_versions(conn, [tenant], {one.plan_version_id for one in periods})
    by_code = _by_code(catalog)
    stored = await load_cells(conn, tenant, periods)
    owned = [(tenant, period) for period in periods]
    before = await with_carried(conn, owned, by_code.values(), stored)
    of_days = {day: period for day in asked for period in periods if period.holds(*day)}
    added = _added(events, catalog, of_days)
    counted = []
    for period in periods:
        one = period.period_id
        after = with_cells(before.get(one, {}), added.get(one, ()))
        found = counted_of(by_code, [versions[period.plan_version_id]], after)
        counted.append((tenant, period, found))
    return _Books(
        catalog=catalog,
        days=days,
        periods=of_days,
        versions=versions,
        before=before,
        added=added,
        asked=await load_asked(conn, counted),
    )


def _added(
    events: Sequence[UsageEvent], catalog: Catalog, periods: Mapping[Day, BillingPeriod]
) -> dict[UUID, list[tuple[CellKey, Cell]]]:
    """Return the cells that `events` add to periods."""
    folded = fold([as_slice(events)], {event.tenant: catalog for event in events})
    added: dict[UUID, list[tuple[CellKey, Cell]]] = defaultdict(list)
    for key, cell in folded.cells.items():
        period = periods.get((key.term_id, key.day))
        if period is not None:
            added[period.period_id].append((key, cell))
    return added


def _estimate(
    events: Sequence[UsageEvent], books: _Books, read: Mapping[UUID, ReadEvents]
) -> pb.EstimateEventsResponse:
    found = [[books.periods.get(day) for day in of_event] for of_event in books.days]
    counts = Counter(
        period.period_id for of_event in found for period in of_event if period is not None
    )
    periods = {period.period_id: period for period in books.periods.values()}
    ordered = sorted(periods.values(), key=lambda one: (one.subscription_id, one.usage.start))
    return pb.EstimateEventsResponse(
        usage=[
            _usage_message(period, books, events, read.get(period.period_id), counts)
            for period in ordered
        ],
        unattributed=[place for place, days in enumerate(books.days) if not days],
        unpriced=[place for place, of_event in enumerate(found) if None in of_event],
    )


def _usage_message(
    period: BillingPeriod,
    books: _Books,
    events: Sequence[UsageEvent],
    read: ReadEvents | None,
    counts: Counter[UUID],
) -> pb.EstimatedUsage:
    version = books.versions[period.plan_version_id]
    meters, period_id = _by_code(books.catalog), period.period_id
    stored = None if read is None else read.events
    all_events = None if stored is None else _with_events(period, books, events, stored)
    found = books.before.get(period_id, {})
    cells = found if read is None else read.instead(found)
    before = _price(period, version, meters, cells, stored)
    more = with_cells(cells, books.added.get(period_id, ()))
    after = _price(period, version, meters, more, all_events)
    return pb.EstimatedUsage(
        subscription_id=period.subscription_id,
        subscription_uid=str(period.subscription_uid),
        customer_id=period.customer_id,
        period=period_message(period.usage.start, period.usage.end),
        status=PERIOD_STATUSES[period.status],
        event_count=counts[period_id],
        before=_total(before, period.currency),
        after=_total(after, period.currency),
        differences=[fee_message(fee, period.currency) for fee in adjustments(after, before)],
    )


def _price(
    period: BillingPeriod,
    version: PlanVersion,
    meters: Mapping[str, Meter],
    cells: Mapping[UUID, Sequence[Cell]],
    events: Events | None,
) -> Sequence[Fee]:
    return price_period(period, version, meters, cells, events=events, closing=False).fees


def _with_events(
    period: BillingPeriod, books: _Books, events: Sequence[UsageEvent], stored: Events
) -> Events:
    """Return the single events `stored` of a period, and those that are tried."""
    meters = [meter for code, meter in _by_code(books.catalog).items() if code in stored]
    own = period.term_id
    tried = single_events(events, books.catalog, meters, term_id=own, window=period.usage)
    return {code: [*of_meter, *tried[code]] for code, of_meter in stored.items()}


def _by_code(catalog: Catalog) -> dict[str, Meter]:
    return {meter.code: meter for of_type in catalog.meters.values() for meter in of_type}


def _total(fees: Sequence[Fee], currency: str) -> MoneyMessage:
    return money_message(Money(currency, sum(fee.amount_minor for fee in fees)))
