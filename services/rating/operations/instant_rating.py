"""Pricing the events of instant charges: slice by slice in the order of the log, each once.

A fold notes the slices that have such events. Whoever prices one strikes it off in the transaction
that stores its fees, how the charges stand after them, and what is billed at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin_worker
from libs.telemetry import context_from, tracer
from libs.tenant import Tenant
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.columns import Slice, customers_in, event_at
from services.rating.domain.estimating import local_terms
from services.rating.domain.event import UsageEvent
from services.rating.domain.instant_rating import RatedSlice, rate_slice
from services.rating.domain.instant_state import State
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import Charge, PlanVersion
from services.rating.domain.seat_rating import rate_seats
from services.rating.domain.seats import KnownUsage, is_seats
from services.rating.domain.single_events import EventsNotRead, SingleEvent, counted_event
from services.rating.operations.instant_known import (
    Known,
    instant_charges,
    lock_usage,
    read_known,
)
from services.rating.operations.instant_messages import Segment
from services.rating.operations.instant_storing import Origin, store_rated
from services.rating.operations.log import Log
from services.rating.operations.single_events import (
    EventsOutdated,
)
from services.rating.store import instant_slices, instant_states
from services.rating.store.catalog import load_meters_by_type, load_terms
from services.rating.store.instant_slices import Unpriced
from services.rating.store.periods import load_touched
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
        read: dict[UUID, Known] = {}
        for _ in range(TRIES):
            try:
                await _price(worker, chosen, read, now=now)
                return
            except EventsOutdated as outdated:
                read |= await read_known(worker, log, unpriced.tenant, outdated.period_ids)
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


async def _price(
    worker: AsyncEngine, chosen: _Slice, read: Mapping[UUID, Known], *, now: datetime
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
        usage = {one.period_id: one for one in await load_touched(conn, tenant, touched)}
        periods = await lock_usage(conn, tenant, usage.values())
        version_ids = {one.plan_version_id for one in periods}
        books = _Books(
            await load_versions(conn, [tenant], version_ids),
            await instant_states.load_states(conn, tenant, [one.period_id for one in periods]),
            await instant_slices.load_unpriced(conn, tenant, unpriced.lane.partition),
        )
        late: list[UUID] = []
        segment = Segment(unpriced.lane.shard, unpriced.number)
        origin = Origin(tenant, chosen.meters, segment, due_at=now)
        for period in periods:
            try:
                rated = _rate_period(chosen, period, books, read.get(period.period_id))
            except EventsNotRead:
                late.append(period.period_id)
                continue
            if not late:
                await store_rated(conn, origin, period, rated, now=now)
        if late:
            raise EventsOutdated(late)


def _rate_period(
    chosen: _Slice, period: BillingPeriod, books: _Books, read: Known | None
) -> list[tuple[Charge, RatedSlice]]:
    """Price the events of a slice that fall into a period, charge by charge."""
    own = [
        event
        for event, day in zip(chosen.events, chosen.days, strict=True)
        if day is not None and period.holds(*day)
    ]
    found = []
    for charge in instant_charges(books.version[period.plan_version_id]):
        meter = chosen.meters[charge.meter_code]
        counted = [one for one in (counted_event(event, meter) for event in own) if one is not None]
        if not counted:
            continue
        events = None
        if read is not None:
            events = [one for one in read.events[meter.code] if not _waits(one, books.others)]
        states = instant_states.states_of(books.states, period.period_id, charge.code)
        if is_seats(charge, meter):
            known = _known_seats(meter, read, events)
            wanted = {event.moment for event in counted}
            rated = rate_seats(charge, meter, known, wanted, period=period, states=states)
        else:
            rated = rate_slice(
                charge, meter, counted, period_id=period.period_id, states=states, known=events
            )
        found.append((charge, rated))
    return found


def _known_seats(
    meter: Meter, read: Known | None, events: Sequence[SingleEvent] | None
) -> KnownUsage:
    if read is None or events is None:
        raise EventsNotRead("seats look at all events of their period")
    return KnownUsage(read.carried.get(meter.code, ()), events)


def _waits(event: SingleEvent, others: Collection[tuple[int, int]]) -> bool:
    return (event.moment.shard, event.moment.number) in others
