"""Pricing past periods of many subscriptions under another plan version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.db import Snapshots
from libs.errors import FieldInvalid
from libs.money import Money
from libs.tenant import Tenant
from libs.wire import money_message
from services.rating.domain.cell import Cell
from services.rating.domain.fee import Fee
from services.rating.domain.fixed_fees import check_fixed_charges
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.plan import PlanVersion, Timing, check_base_amount, check_charges
from services.rating.domain.simulation import (
    Candidate,
    CurrencyMismatch,
    Simulated,
    unmetered_codes,
)
from services.rating.domain.single_events import codes_prorated
from services.rating.domain.unit_change import UnitChange
from services.rating.operations.carrying import with_carried
from services.rating.operations.log import Log
from services.rating.operations.messages import billing_period_message, fee_message
from services.rating.operations.rating import price_period
from services.rating.operations.reattributing import check_not_reattributing
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
from services.rating.store.plans import load_plan, load_versions
from services.rating.store.simulation import Selection, Stretch, stretch_of
from tally.common.v1.money_pb2 import Money as MoneyMessage
from tally.rating.v1 import rating_service_pb2 as pb

PERIODS_AT_ONCE = 100
READERS = 2  # Connections of one simulation.


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of a plan, 0 for the newest."""

    plan_code: str
    version: int


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


async def simulate_plan(
    snapshots: Snapshots,
    log: Log,
    tenant: Tenant,
    wanted: StoredVersion | Candidate,
    selection: Selection,
    *,
    with_periods: bool,
) -> AsyncGenerator[pb.SimulatePlanResponse, None]:
    """Give each subscription with what its periods cost before and after, and last the totals.

    100 periods are read at one instant, with their usage merged to one cell for each meter and
    dimension values, and another 100 beside them; while they are priced the next are read, and no
    more is held.

    Raises:
        PlanNotFound, PlanVersionNotFound: there is none as wanted.
        MeterUnknown, FieldsInvalid: its charges do not fit the meters.
        CurrencyMismatch, FieldInvalid: a subscription has another currency, or interval.
        AmountTooLarge: a period costs more than money can be written in.
        PriceNotComputable: a custom price has no value.
        Unavailable: the usage of one of them is being attributed again, or a price looks at single
            events and the log is away.
    """
    candidate = await _check(snapshots, tenant, wanted, selection)
    report = _Report(candidate.currency)
    pages = _simulate(snapshots, log, tenant, candidate, selection)
    async with aclosing(pages):
        async for page in pages:
            for one in page:
                if report.begins(one):
                    yield pb.SimulatePlanResponse(subscription=report.finish())
                report.of_subscription.append(one)
                if with_periods:
                    yield pb.SimulatePlanResponse(period=_period_message(one))
    if report.of_subscription:
        yield pb.SimulatePlanResponse(subscription=report.finish())
    yield pb.SimulatePlanResponse(simulation=report.whole())


async def _check(
    snapshots: Snapshots, tenant: Tenant, wanted: StoredVersion | Candidate, selection: Selection
) -> Candidate:
    """Return the prices to try, once they can be tried on all that is selected."""
    async with snapshots.begin() as conn:
        if isinstance(wanted, StoredVersion):
            plan, version = await load_plan(conn, tenant, wanted.plan_code, wanted.version)
            candidate, path = Candidate(plan.name, plan.currency, version), "plan_code"
        else:
            candidate, path = wanted, "version.interval_unit"
            check_base_amount(wanted.version, wanted.currency)
            check_fixed_charges(wanted.version, wanted.currency)
            codes = {charge.meter_code for charge in wanted.version.charges}
            check_charges(wanted.version.charges, await load_meters(conn, tenant, codes))
        unit = candidate.version.interval_unit
        other = await store.find_other(
            conn, tenant, selection, currency=candidate.currency, unit=unit
        )
    if other is None:
        return candidate
    subscription_id, currency, own = other
    if currency != candidate.currency:
        problem = f"{subscription_id} is billed in {currency}, not in {candidate.currency}"
        raise CurrencyMismatch(problem, metadata={"subscription_id": subscription_id})
    raise FieldInvalid(path, f"is priced by {unit}; {subscription_id} is billed by {own}")


async def _simulate(
    snapshots: Snapshots, log: Log, tenant: Tenant, candidate: Candidate, selection: Selection
) -> AsyncGenerator[list[Simulated], None]:
    """Give pages of periods, two of them priced in a thread while the next two are read."""

    async def load(page: tuple[Stretch | None, Stretch | None]) -> _Books:
        after, up_to = page
        async with snapshots.begin() as conn:
            periods = await store.load_stretches(conn, tenant, selection, after=after, up_to=up_to)
            books = await _load_books(conn, tenant, periods, candidate)
        return replace(books, events=await read_events(log, books.asked))

    async with snapshots.begin() as conn:
        bounds = await store.load_bounds(conn, tenant, selection, every=PERIODS_AT_ONCE)
    pages = list(pairwise([None, *bounds, None]))
    read: Sequence[_Books] = ()
    for place in range(0, len(pages) + READERS, READERS):
        loading = [load(page) for page in pages[place : place + READERS]]
        pricing = asyncio.to_thread(_price, read, candidate)
        priced, read = await asyncio.gather(pricing, asyncio.gather(*loading))
        yield priced


async def _load_books(
    conn: AsyncConnection, tenant: Tenant, periods: Sequence[BillingPeriod], candidate: Candidate
) -> _Books:
    await check_not_reattributing(conn, tenant, periods)
    versions = await load_versions(conn, [tenant], {one.plan_version_id for one in periods})
    tried = (*versions.values(), candidate.version)
    codes = {charge.meter_code for version in tried for charge in version.charges}
    meters = await load_meters(conn, tenant, codes)
    fixed = any(version.fixed_charges for version in tried)
    changing = {one.subscription_uid for one in periods} if fixed else set()
    merged = await load_merged_cells(
        conn, tenant, periods, meters.values(), by_day=codes_prorated(tried)
    )
    owned = [(tenant, period) for period in periods]
    cells = await with_carried(conn, owned, meters.values(), merged)
    counted = []
    for period in periods:
        either = [versions[period.plan_version_id], candidate.version]
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


def _price(read: Iterable[_Books], candidate: Candidate) -> list[Simulated]:
    simulated = []
    for books, period in ((page, period) for page in read for period in page.periods):
        own = books.versions[period.plan_version_id]
        tried = candidate.version
        simulated.append(
            Simulated(
                period=period,
                before=_fees(books, period, own, period.plan_name),
                after=_fees(books, period, tried, candidate.name),
                unmetered=unmetered_codes(period, own, tried, books.meters),
            )
        )
    return simulated


def _fees(books: _Books, period: BillingPeriod, version: PlanVersion, name: str) -> list[Fee]:
    """Price the base fee and fixed charges, for the days they are billed for, and the usage."""
    fees: list[Fee] = []
    changes = books.changes.get(period.subscription_uid, ())
    if version.base_amount is not None:
        base = replace(books.period_of(period, PeriodKind.BASE), plan_name=name)
        fees += price_period(base, version, books.meters, {}).fees
    if version.has_fixed(Timing.IN_ADVANCE):
        fixed = books.period_of(period, PeriodKind.FIXED)
        fees += price_period(fixed, version, books.meters, {}, changes=changes).fees
    if version.charges or version.has_fixed(Timing.IN_ARREARS):
        usage = replace(period, kind=PeriodKind.USAGE)
        cells = books.cells.get(period.period_id, {})
        read = books.events.get(period.period_id)
        cells = cells if read is None else read.instead(cells)
        events = None if read is None else read.events
        fees += price_period(
            usage, version, books.meters, cells, changes=changes, events=events
        ).fees
    return fees


@dataclass(slots=True)
class _Report:
    """Adds up what was simulated, subscription by subscription."""

    currency: str
    of_subscription: list[Simulated] = field(default_factory=list)  # Of the one under way.
    _subscriptions: int = 0
    _periods: int = 0
    _unmetered: int = 0
    _before: int = 0
    _after: int = 0

    def begins(self, one: Simulated) -> bool:
        """Tell whether `one` is of another subscription than the one under way."""
        held = self.of_subscription
        return bool(held) and held[0].period.subscription_uid != one.period.subscription_uid

    def finish(self) -> pb.SimulatedSubscription:
        """Return what the subscription under way comes to, and begin with the next one."""
        held, self.of_subscription = self.of_subscription, []
        before, after = (
            sum(one.before_minor for one in held),
            sum(one.after_minor for one in held),
        )
        unmetered = sorted({code for one in held for code in one.unmetered})
        self._subscriptions += 1
        self._periods += len(held)
        self._unmetered += bool(unmetered)
        self._before += before
        self._after += after
        first = held[0].period
        return pb.SimulatedSubscription(
            subscription_id=first.subscription_id,
            subscription_uid=str(first.subscription_uid),
            customer_id=first.customer_id,
            period_count=len(held),
            closed_count=sum(one.period.status is PeriodStatus.CLOSED for one in held),
            before=_money(self.currency, before),
            after=_money(self.currency, after),
            unmetered_codes=unmetered,
        )

    def whole(self) -> pb.Simulation:
        """Return what all of them come to."""
        total = pb.SimulatedTotal(
            before=_money(self.currency, self._before), after=_money(self.currency, self._after)
        )
        return pb.Simulation(
            subscription_count=self._subscriptions,
            period_count=self._periods,
            unmetered_count=self._unmetered,
            totals=[total] if self._periods else [],
        )


def _period_message(one: Simulated) -> pb.SimulatedPeriod:
    currency = one.period.currency
    return pb.SimulatedPeriod(
        period=billing_period_message(one.period),
        fees_before=[fee_message(fee, currency) for fee in one.before],
        fees_after=[fee_message(fee, currency) for fee in one.after],
        before=_money(currency, one.before_minor),
        after=_money(currency, one.after_minor),
        unmetered_codes=one.unmetered,
    )


def _money(currency: str, minor: int) -> MoneyMessage:
    return money_message(Money(currency, minor))
