"""Pricing past periods of many subscriptions under other plan versions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.db import Snapshots
from libs.tenant import Tenant
from services.rating.domain.cell import Cell
from services.rating.domain.commitment import Besides, Commitment
from services.rating.domain.fee import Fee, FeeKind
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import PlanVersion, Timing
from services.rating.domain.simulation import (
    Candidate,
    Simulated,
    StoredVersion,
    Tried,
    unmetered_codes,
)
from services.rating.domain.single_events import codes_prorated
from services.rating.domain.unit_change import UnitChange
from services.rating.operations.candidates import load_candidates
from services.rating.operations.carrying import with_carried
from services.rating.operations.log import Log
from services.rating.operations.rating import price_period
from services.rating.operations.reattributing import check_not_reattributing
from services.rating.operations.simulation_report import Report, period_message
from services.rating.operations.single_events import (
    Asked,
    ReadEvents,
    counted_of,
    load_asked,
    read_events,
)
from services.rating.store import simulation as store
from services.rating.store.fixed_units import load_changes
from services.rating.store.merged_cells import load_merged_cells
from services.rating.store.meters import load_meters
from services.rating.store.plans import load_versions
from services.rating.store.simulation import Selection, Stretch, stretch_of
from tally.rating.v1 import rating_service_pb2 as pb

PERIODS_AT_ONCE = 100
READERS = 2  # Connections of one simulation.


@dataclass(frozen=True, slots=True)
class _Books:
    """What the prices of a page of periods are made of."""

    periods: Sequence[BillingPeriod]
    fee_periods: Mapping[tuple[Stretch, PeriodKind], BillingPeriod]
    changes: Mapping[UUID, Sequence[UnitChange]]  # Of units of fixed charges, by subscription.
    versions: Mapping[UUID, PlanVersion]
    meters: Mapping[str, Meter]
    cells: Mapping[UUID, Mapping[UUID, Sequence[Cell]]]
    asked: Sequence[Asked]  # Periods of which a price looks at single events.
    events: Mapping[UUID, ReadEvents] = field(default_factory=dict)

    def period_of(self, period: BillingPeriod, kind: PeriodKind) -> BillingPeriod:
        """Return the period of `kind` of the same week or month; without one, `period` as one."""
        found = self.fee_periods.get((stretch_of(period), kind), period)
        return replace(found, kind=kind)

    def is_sheltered(self, period: BillingPeriod) -> bool:
        """Tell whether a trial shelters its base fee: there is one, without a period."""
        own = self.versions[period.plan_version_id]
        key = (stretch_of(period), PeriodKind.BASE)
        return own.base_amount is not None and own.trial_days > 0 and key not in self.fee_periods


async def simulate_plan(
    snapshots: Snapshots,
    log: Log,
    tenant: Tenant,
    wanted: Sequence[StoredVersion | Candidate],
    selection: Selection,
    *,
    with_periods: bool,
) -> AsyncGenerator[pb.SimulatePlanResponse, None]:
    """Give each subscription with what its periods cost before and after, and last the totals.

    After is one answer for each of those `wanted`. However many they are, usage is read once:
    100 periods are read at one instant, with their usage merged to one cell for each meter and
    dimension values, and another 100 beside them; while they are priced the next are read, and no
    more is held.

    Raises:
        PlanNotFound, PlanVersionNotFound, MeterUnknown, MeterArchived, FieldInvalid, FieldsInvalid,
            CurrencyMismatch: as for `load_candidates`.
        AmountTooLarge: a period costs more than money can be written in.
        PriceNotComputable: a custom price has no value.
        Unavailable: the usage of one of them is being attributed again, or a price looks at single
            events and the log is away.
    """
    async with snapshots.begin() as conn:
        candidates = await load_candidates(conn, tenant, wanted, selection)
    report = Report(candidates)
    pages = _simulate(snapshots, log, tenant, candidates, selection)
    async with aclosing(pages):
        async for page in pages:
            for one in page:
                if report.begins(one):
                    yield pb.SimulatePlanResponse(subscription=report.finish())
                report.of_subscription.append(one)
                if with_periods:
                    yield pb.SimulatePlanResponse(period=period_message(one))
    if report.of_subscription:
        yield pb.SimulatePlanResponse(subscription=report.finish())
    yield pb.SimulatePlanResponse(simulation=report.whole())


async def _simulate(
    snapshots: Snapshots,
    log: Log,
    tenant: Tenant,
    candidates: Sequence[Candidate],
    selection: Selection,
) -> AsyncGenerator[list[Simulated], None]:
    """Give pages of periods, two of them priced in a thread while the next two are read."""

    async def load(page: tuple[Stretch | None, Stretch | None]) -> _Books:
        after, up_to = page
        async with snapshots.begin() as conn:
            periods = await store.load_stretches(conn, tenant, selection, after=after, up_to=up_to)
            books = await _load_books(conn, tenant, periods, candidates)
        return replace(books, events=await read_events(log, books.asked))

    async with snapshots.begin() as conn:
        bounds = await store.load_bounds(conn, tenant, selection, every=PERIODS_AT_ONCE)
    pages = list(pairwise([None, *bounds, None]))
    read: Sequence[_Books] = ()
    for place in range(0, len(pages) + READERS, READERS):
        loading = [load(page) for page in pages[place : place + READERS]]
        pricing = asyncio.to_thread(_price, read, candidates)
        priced, read = await asyncio.gather(pricing, asyncio.gather(*loading))
        yield priced


async def _load_books(
    conn: AsyncConnection,
    tenant: Tenant,
    periods: Sequence[BillingPeriod],
    candidates: Sequence[Candidate],
) -> _Books:
    await check_not_reattributing(conn, tenant, periods)
    versions = await load_versions(conn, [tenant], {one.plan_version_id for one in periods})
    tried = [candidate.version for candidate in candidates]
    priced = (*versions.values(), *tried)
    codes = {charge.meter_code for version in priced for charge in version.charges}
    meters = await load_meters(conn, tenant, codes)
    fixed = any(version.fixed_charges for version in priced)
    changing = {one.subscription_uid for one in periods} if fixed else set()
    merged = await load_merged_cells(
        conn, tenant, periods, meters.values(), by_day=codes_prorated(priced)
    )
    owned = [(tenant, period) for period in periods]
    cells = await with_carried(conn, owned, meters.values(), merged)
    counted = []
    for period in periods:
        either = [versions[period.plan_version_id], *tried]
        found = counted_of(meters, either, cells.get(period.period_id, {}))
        counted.append((tenant, period, found))
    return _Books(
        periods=periods,
        fee_periods=await store.load_fee_periods(conn, tenant, periods),
        changes=await load_changes(conn, [tenant], changing),
        versions=versions,
        meters=meters,
        cells=cells,
        asked=await load_asked(conn, counted),
    )


def _price(read: Iterable[_Books], candidates: Sequence[Candidate]) -> list[Simulated]:
    simulated = []
    for books, period in ((page, period) for page in read for period in page.periods):
        own = books.versions[period.plan_version_id]
        before = _fees(books, period, own, period.plan_name)
        after = [
            Tried(
                fees=_fees(books, period, each.version, each.name),
                unmetered=unmetered_codes(period, own, each.version, books.meters),
            )
            for each in candidates
        ]
        simulated.append(Simulated(period, before, after))
    return simulated


def _fees(books: _Books, period: BillingPeriod, version: PlanVersion, name: str) -> list[Fee]:
    """Price the base fee and fixed charges, for the days they are billed for, and the usage."""
    fees: list[Fee] = []
    changes = books.changes.get(period.subscription_uid, ())
    if version.base_amount is not None and not books.is_sheltered(period):
        base = replace(books.period_of(period, PeriodKind.BASE), plan_name=name)
        fees += price_period(base, version, books.meters, {}).fees
    if version.has_fixed(Timing.IN_ADVANCE):
        fixed = books.period_of(period, PeriodKind.FIXED)
        fees += price_period(fixed, version, books.meters, {}, changes=changes).fees
    committed = version.minimum_commitment is not None
    if version.charges or version.has_fixed(Timing.IN_ARREARS) or committed:
        usage = replace(period, kind=PeriodKind.USAGE)
        cells = books.cells.get(period.period_id, {})
        read = books.events.get(period.period_id)
        cells = cells if read is None else read.instead(cells)
        events = None if read is None else read.events
        fees += price_period(
            usage,
            version,
            books.meters,
            cells,
            changes=changes,
            events=events,
            commitment=_commitment(version, period, fees),
        ).fees
    return fees


def _commitment(
    version: PlanVersion, period: BillingPeriod, fees: Iterable[Fee]
) -> Commitment | None:
    """Return the commitment of a period whose base fee, and charges in advance, are `fees`."""
    if version.minimum_commitment is None:
        return None
    minor = Counter({FeeKind.BASE: 0, FeeKind.FIXED: 0})
    for fee in fees:
        minor[fee.key.kind] += fee.amount_minor
    besides = Besides(base_minor=minor[FeeKind.BASE], fixed_minor=minor[FeeKind.FIXED])
    return Commitment(version.minimum_commitment, period.billed_days, period.whole, besides)
