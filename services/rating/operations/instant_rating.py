"""Pricing the events of instant charges: slice by slice in the order of the log, each once.

A fold notes the slices that have such events. Whoever prices one strikes it off in the transaction
that stores its fees, how the charges stand after them, and what is billed at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import begin_worker
from libs.period import local_day, local_midnight
from libs.telemetry import context_from, headers, tracer
from libs.tenant import Tenant
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.columns import Slice, customers_in, event_at
from services.rating.domain.estimating import local_terms
from services.rating.domain.event import UsageEvent
from services.rating.domain.instant_bill import Bill, settle
from services.rating.domain.instant_charge import Settle
from services.rating.domain.instant_fee import InstantFee
from services.rating.domain.instant_rating import RatedSlice, rate_slice
from services.rating.domain.instant_state import State
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod, PeriodStatus
from services.rating.domain.plan import Charge, PlanVersion
from services.rating.domain.single_events import EventsNotRead, SingleEvent, counted_event
from services.rating.operations.instant_messages import rated_message
from services.rating.operations.log import Log
from services.rating.operations.single_events import (
    Asked,
    Counted,
    EventsOutdated,
    ReadEvents,
    read_events,
)
from services.rating.store import instant_slices, instant_states
from services.rating.store.applied import load_applied
from services.rating.store.catalog import load_meters_by_type, load_terms
from services.rating.store.instant_fees import insert_fees
from services.rating.store.instant_slices import Unpriced
from services.rating.store.periods import load_periods, load_touched, lock_periods
from services.rating.store.plans import load_versions

TRIES = 3  # To price a slice while others come.
DAY = timedelta(days=1)

spans = tracer(__name__)


@dataclass(frozen=True, slots=True)
class _Slice:
    """The events of a slice that may be of instant charges, and who takes each of them."""

    unpriced: Unpriced
    events: Sequence[UsageEvent]
    days: Sequence[tuple[UUID, date] | None]  # Term and local day.
    meters: Mapping[str, Meter]
    terms: Mapping[str, Sequence[Term]]  # By customer.


@dataclass(frozen=True, slots=True)
class _Books:
    """What the locked periods of a slice's events are priced from."""

    version: Mapping[UUID, PlanVersion]
    states: Mapping[instant_states.Place, State]
    others: Collection[tuple[int, int]]  # Shard and number of slices that are not priced yet.


async def price_slice(
    worker: AsyncEngine, log: Log, unpriced: Unpriced, piece: Slice, *, now: datetime
) -> None:
    """Price the events of one tenant in `piece`; nothing if another has done so.

    Raises:
        Unavailable: the log or the database is away; the slice waits.
    """
    parent = context_from({"traceparent": piece.traceparent})
    with spans.start_as_current_span("price instant charges", context=parent):
        chosen = await _choose(worker, unpriced, piece)
        read: dict[UUID, ReadEvents] = {}
        for _ in range(TRIES):
            try:
                await _price(worker, chosen, read, now=now)
                return
            except EventsOutdated as outdated:
                read |= await _read(worker, log, chosen, outdated.period_ids)
        await _price(worker, chosen, read, now=now)


async def _choose(worker: AsyncEngine, unpriced: Unpriced, piece: Slice) -> _Slice:
    tenant = unpriced.tenant
    async with begin_worker(worker) as conn:
        customers = {one for one in customers_in([piece]) if one[0] == tenant}
        terms = {who: of for (_, who), of in (await load_terms(conn, customers)).items()}
        by_type = (await load_meters_by_type(conn, [tenant]))[tenant]
    types = {
        one for of_customer in terms.values() for term in of_customer for one in term.instant_types
    }
    events = await asyncio.to_thread(_events_of, piece, tenant, types)
    taken = local_terms(events, Catalog(0, by_type, terms))
    days = [
        (own[0][0].term_id, own[0][1]) if own and event.type in own[0][0].instant_types else None
        for event, own in zip(events, taken, strict=True)
    ]
    meters = {meter.code: meter for of_type in by_type.values() for meter in of_type}
    return _Slice(unpriced, events, days, meters, terms)


def _events_of(piece: Slice, tenant: Tenant, types: Collection[str]) -> list[UsageEvent]:
    """Return the events of a tenant that have one of `types`."""
    columns = piece.columns
    places = [place for place, text in enumerate(columns.strings) if text in types]
    rows = np.flatnonzero((columns.tenants == tenant) & np.isin(columns.types, places))
    return [event_at(columns, row, shard=piece.shard, number=piece.number) for row in rows.tolist()]


async def _read(
    worker: AsyncEngine, log: Log, chosen: _Slice, period_ids: Collection[UUID]
) -> dict[UUID, ReadEvents]:
    """Read all events of periods into which one came late."""
    async with begin_worker(worker) as conn:
        applied = await load_applied(conn)
        periods = (await load_periods(conn, period_ids)).values()
        tenant = chosen.unpriced.tenant
        versions = await load_versions(conn, [tenant], {one.plan_version_id for one in periods})
    asked = []
    for period in periods:
        charges = _instant(versions[period.plan_version_id])
        meters = {one.meter_code: chosen.meters[one.meter_code] for one in charges}
        counted = Counted(tuple(meters.values()), ())
        asked.append(Asked(tenant, period, counted, chosen.terms[period.customer_id], applied))
    return await read_events(log, asked)


async def _price(
    worker: AsyncEngine, chosen: _Slice, read: Mapping[UUID, ReadEvents], *, now: datetime
) -> None:
    """Store what the events cost. Locks: the slice, then billing periods in the order of ids."""
    unpriced = chosen.unpriced
    tenant = unpriced.tenant
    async with begin_worker(worker) as conn:
        if not await instant_slices.take_unpriced(conn, unpriced):
            return
        touched = {day for day in chosen.days if day is not None}
        if not touched:
            return
        periods = await _lock(conn, tenant, touched)
        version_ids = {one.plan_version_id for one in periods}
        books = _Books(
            await load_versions(conn, [tenant], version_ids),
            await instant_states.load_states(conn, tenant, [one.period_id for one in periods]),
            await instant_slices.load_unpriced(conn, tenant, unpriced.lane.partition),
        )
        late: list[UUID] = []
        for period in periods:
            try:
                rated = _rate_period(chosen, period, books, read.get(period.period_id))
            except EventsNotRead:
                late.append(period.period_id)
                continue
            if not late:
                await _store(conn, chosen, period, rated, now=now)
        if late:
            raise EventsOutdated(late)


async def _lock(
    conn: AsyncConnection, tenant: Tenant, days: Collection[tuple[UUID, date]]
) -> list[BillingPeriod]:
    """Lock the usage periods of `days`, and what bills them by the day; return those not closed."""
    usage = {one.period_id: one for one in await load_touched(conn, tenant, days)}
    bills = await instant_states.find_open_bills(conn, tenant, usage.values())
    locked = await lock_periods(conn, tenant, usage.keys() | bills)
    return [locked[one] for one in usage if locked[one].status is not PeriodStatus.CLOSED]


def _instant(version: PlanVersion) -> list[Charge]:
    return [charge for charge in version.charges if charge.instant is not None]


def _rate_period(
    chosen: _Slice, period: BillingPeriod, books: _Books, read: ReadEvents | None
) -> list[tuple[Charge, RatedSlice]]:
    """Price the events of a slice that fall into a period, charge by charge."""
    own = [
        event
        for event, day in zip(chosen.events, chosen.days, strict=True)
        if day is not None and period.holds(*day)
    ]
    found = []
    for charge in _instant(books.version[period.plan_version_id]):
        meter = chosen.meters[charge.meter_code]
        counted = [one for one in (counted_event(event, meter) for event in own) if one is not None]
        if not counted:
            continue
        known = None
        if read is not None:
            known = [one for one in read.events[meter.code] if not _waits(one, books.others)]
        states = {
            key: state
            for (period_id, key), state in books.states.items()
            if period_id == period.period_id and key.charge_code == charge.code
        }
        rated = rate_slice(
            charge, meter, counted, period_id=period.period_id, states=states, known=known
        )
        found.append((charge, rated))
    return found


def _waits(event: SingleEvent, others: Collection[tuple[int, int]]) -> bool:
    return (event.moment.shard, event.moment.number) in others


async def _store(
    conn: AsyncConnection,
    chosen: _Slice,
    period: BillingPeriod,
    rated: Sequence[tuple[Charge, RatedSlice]],
    *,
    now: datetime,
) -> None:
    """Store what was rated of a locked period, bill what is to be billed, and tell of it."""
    tenant, unpriced = chosen.unpriced.tenant, chosen.unpriced
    fees: list[InstantFee] = []
    states: dict[instant_states.Place, State] = {}
    bills: dict[str, list[Bill]] = {}
    for charge, one in rated:
        fees += one.fees
        unbilled = {key: state.unbilled for key, state in one.states.items()}
        assert charge.instant is not None
        if charge.instant.bills_early:
            name = chosen.meters[charge.meter_code].name
            named, unbilled = settle(charge, name, one.fees, unbilled, currency=period.currency)
            for bill_name, of_name in named:
                bills.setdefault(bill_name, []).extend(of_name)
        for key, state in one.states.items():
            states[period.period_id, key] = State(state.standing, unbilled[key])
    await insert_fees(conn, tenant, fees, rated_at=now)
    await instant_states.save_states(conn, tenant, states)
    await _bill(conn, tenant, period, bills, now=now)
    facts = [
        rated_message(period, charge, one.fees, unpriced.lane.shard, unpriced.number)
        for charge, one in rated
        if one.fees
    ]
    await outbox.append_all(conn, [(tenant, fact, headers()) for fact in facts])


async def _bill(
    conn: AsyncConnection,
    tenant: Tenant,
    usage: BillingPeriod,
    bills: Mapping[str, Sequence[Bill]],
    *,
    now: datetime,
) -> None:
    """Put `bills`, by name, on periods of their own; "" on that of the local day."""
    placed: list[tuple[UUID, Bill]] = []
    fresh: dict[str, UUID] = {}
    for name, of_name in bills.items():
        period_id = await _day_period(conn, tenant, usage, now) if not name else uuid4()
        if name:
            fresh[name] = period_id
        placed += [(period_id, bill) for bill in of_name]
    await instant_states.insert_bill_periods(conn, tenant, usage, fresh, due_at=now)
    await instant_states.add_bills(conn, tenant, usage.period_id, placed)


async def _day_period(
    conn: AsyncConnection, tenant: Tenant, usage: BillingPeriod, now: datetime
) -> UUID:
    """Return the open period that bills a local day's fees of a usage period at its end."""
    zone = ZoneInfo(usage.time_zone)
    day = local_day(now, zone)
    bills = f"{Settle.DAILY}/{day.isoformat()}"
    standing = await instant_states.find_open_bill(conn, tenant, usage, bills)
    if standing is not None:
        return standing
    period_id = uuid4()
    due_at = local_midnight(day + DAY, zone)
    await instant_states.insert_bill_periods(conn, tenant, usage, {bills: period_id}, due_at=due_at)
    return period_id
