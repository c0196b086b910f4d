"""Pricing billing periods, as of now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import Snapshots, begin
from libs.money import Money
from libs.tenant import Tenant
from libs.wire import money_message
from services.rating.domain.cell import Cell
from services.rating.domain.commitment import Commitment, commitment_fee
from services.rating.domain.fee import Fee, base_fee, check_amounts, taxed
from services.rating.domain.fixed_fees import fixed_fees
from services.rating.domain.instant_bill import Bill, fees_of, settled, without_refunds
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import PlanVersion
from services.rating.domain.single_events import codes_prorated
from services.rating.domain.unit_change import UnitChange
from services.rating.domain.usage import prorated_span_of, span_of
from services.rating.domain.usage_fees import Events, usage_fees, with_minimums
from services.rating.operations.carrying import with_carried
from services.rating.operations.committing import commitment_of
from services.rating.operations.log import Log
from services.rating.operations.messages import billing_period_message, fee_message
from services.rating.operations.single_events import (
    Counted,
    EventsOutdated,
    ReadEvents,
    counted_of,
    load_asked,
    read_events,
)
from services.rating.store.beside import Beside, load_beside, others_of
from services.rating.store.cells import load_cells
from services.rating.store.fixed_units import load_changes
from services.rating.store.instant_states import load_bills
from services.rating.store.merged_cells import load_merged_cells
from services.rating.store.meters import load_meters
from services.rating.store.periods import load_period, load_periods
from services.rating.store.plans import load_versions
from tally.common.v1 import money_pb2 as money_pb
from tally.rating.v1 import rating_service_pb2 as pb

TRACEPARENTS_MAX = 32
NO_EVENTS: Mapping[UUID, ReadEvents] = {}


@dataclass(frozen=True, slots=True)
class Rated:
    """What a period costs as of its cells, and the traces that brought its latest usage."""

    fees: tuple[Fee, ...]
    usage_traceparents: tuple[str, ...]
    high_cardinality_codes: tuple[str, ...] = ()  # Of meters that were read from the log.


@dataclass(frozen=True, slots=True)
class LoadedUsage:
    """What prices periods: versions by id, meters by code, cells by period and meter, units."""

    versions: Mapping[UUID, PlanVersion]
    meters: Mapping[str, Meter]
    cells: Mapping[UUID, Mapping[UUID, Sequence[Cell]]]
    changes: Mapping[UUID, Sequence[UnitChange]]  # Of units of fixed charges, by subscription.
    bills: Mapping[UUID, Sequence[Bill]]  # Of instant fees, by the period they are in or of.
    # What counts for the minimum commitment of usage periods that bill one, by their ids.
    beside: Mapping[UUID, Beside] = field(default_factory=dict)

    def price(
        self,
        period: BillingPeriod,
        read: ReadEvents | None = None,
        *,
        closing: bool = True,
        others: Mapping[UUID, ReadEvents] = NO_EVENTS,
    ) -> Rated:
        """Price one of the periods; `others` are events of those beside it, by period.

        Errors as in `price_period`.
        """
        version = self.versions[period.plan_version_id]
        stored = self.cells.get(period.period_id, {})
        found = stored if read is None else read.instead(stored)
        events = None if read is None else read.events
        rated = price_period(
            period,
            version,
            self.meters,
            found,
            changes=self.changes.get(period.subscription_uid, ()),
            events=events,
            closing=closing,
            bills=self.bills.get(period.period_id, ()) if closing else None,
            commitment=self._commitment(period, others) if closing else None,
        )
        counted = self.counted(period) if read is not None and read.cells else None
        if counted is None:
            return rated
        charged = [self.meters[charge.meter_code].meter_id for charge in version.charges]
        changed = (cell for one in dict.fromkeys(charged) for cell in stored.get(one, ()))
        return Rated(rated.fees, latest_traceparents(changed), counted.logged_codes)

    def _commitment(
        self, period: BillingPeriod, others: Mapping[UUID, ReadEvents]
    ) -> Commitment | None:
        def fees_of(one: BillingPeriod) -> Sequence[Fee]:
            stored, read = self.cells.get(one.period_id, {}), others.get(one.period_id)
            return price_period(
                one,
                self.versions[one.plan_version_id],
                self.meters,
                stored if read is None else read.instead(stored),
                changes=self.changes.get(one.subscription_uid, ()),
                events=None if read is None else read.events,
            ).fees

        version = self.versions[period.plan_version_id]
        return commitment_of(version, self.beside.get(period.period_id), fees_of)

    def counted(self, period: BillingPeriod) -> Counted | None:
        """Return what of the period has to be read from the log; None if that is nothing."""
        if period.kind is not PeriodKind.USAGE:
            return None
        versions = [self.versions[period.plan_version_id]]
        found = self.cells.get(period.period_id, {})
        return counted_of(self.meters, versions, found, late_version=period.late_version)

    def asked(
        self, tenant: Tenant, periods: Sequence[BillingPeriod]
    ) -> list[tuple[Tenant, BillingPeriod, Counted]]:
        """Return those of `periods`, and beside them, whose single events have to be read."""
        every = {one.period_id: one for one in [*periods, *others_of(self.beside, periods)]}
        found = [(period, self.counted(period)) for period in every.values()]
        return [(tenant, period, counted) for period, counted in found if counted is not None]


async def rate_period(
    engine: AsyncEngine, log: Log, tenant: Tenant, period_id: UUID
) -> pb.RatePeriodResponse:
    """Price a period as of now; nothing is stored.

    Raises:
        PeriodNotFound: there is none.
    """

    async def find(conn: AsyncConnection) -> BillingPeriod:
        return await load_period(conn, tenant, period_id)

    period, rated = await rate_now(engine, log, tenant, find, closing=True)
    rated = replace(rated, fees=without_refunds(rated.fees))
    return pb.RatePeriodResponse(rated=rated_message(period, rated))


async def rate_now(
    engine: AsyncEngine,
    log: Log,
    tenant: Tenant,
    find: Callable[[AsyncConnection], Awaitable[BillingPeriod]],
    *,
    closing: bool,
) -> tuple[BillingPeriod, Rated]:
    """Price the period that `find` finds, with its single events if a price looks at them.

    Raises:
        Unavailable: they cannot be read, or its usage is being attributed again.
    """
    async with begin(engine, tenant) as conn:
        period = await find(conn)
        loaded = await load_usage(conn, tenant, [period], merged=not closing)
    if not loaded.asked(tenant, [period]):
        return period, loaded.price(period, closing=closing)
    async with Snapshots(engine, engine, tenant).begin() as conn:
        period = await find(conn)
        loaded = await load_usage(conn, tenant, [period])
        asked = await load_asked(conn, loaded.asked(tenant, [period]))
    read = await read_events(log, asked)
    own = read.get(period.period_id)
    return period, loaded.price(period, own, closing=closing, others=read)


async def read_periods(
    engine: AsyncEngine, log: Log, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, ReadEvents]:
    """Read the single events of those periods whose prices look at them, by id.

    Raises:
        Unavailable: a shard is away.
    """
    async with Snapshots(engine, engine, tenant).begin() as conn:
        periods = list((await load_periods(conn, period_ids)).values())
        loaded = await load_usage(conn, tenant, periods)
        asked = await load_asked(conn, loaded.asked(tenant, periods))
    return await read_events(log, asked)


async def rate_periods(
    conn: AsyncConnection,
    tenant: Tenant,
    periods: Sequence[BillingPeriod],
    read: Mapping[UUID, ReadEvents] | None = None,
) -> list[Rated]:
    """Price periods as of their cells, in their order; `read` are events read before, by period.

    Raises:
        EventsOutdated: a price looks at events that are not among them, or not all of them.
    """
    loaded = await load_usage(conn, tenant, periods)
    read = read or {}
    outdated = [
        period.period_id
        for _, period, counted in loaded.asked(tenant, periods)
        if period.period_id not in read or read[period.period_id].mark != counted.mark
    ]
    if outdated:
        raise EventsOutdated(outdated)
    return [loaded.price(one, read.get(one.period_id), others=read) for one in periods]


async def load_usage(
    conn: AsyncConnection,
    tenant: Tenant,
    periods: Sequence[BillingPeriod],
    *,
    merged: bool = False,
) -> LoadedUsage:
    """Return what pricing periods needs; `merged`: without what tells of the folds, and sooner."""
    versions = await load_versions(conn, [tenant], {one.plan_version_id for one in periods})
    owned = [(tenant, period) for period in periods]
    beside = {} if merged else await load_beside(conn, owned, versions)
    every = {one.period_id: one for one in [*periods, *others_of(beside, periods)]}
    priced = list(every.values())
    versions |= await _load_others(conn, tenant, priced, versions)
    usage = [period for period in priced if period.kind is PeriodKind.USAGE]
    charged = {one.plan_version_id for one in usage}
    codes = {charge.meter_code for one in charged for charge in versions[one].charges}
    meters = await load_meters(conn, tenant, codes) if codes else {}
    if merged:
        weighed = codes_prorated(versions.values())
        in_periods = await load_merged_cells(conn, tenant, usage, meters.values(), by_day=weighed)
    else:
        in_periods = await load_cells(conn, tenant, usage)
    owned = [(tenant, period) for period in usage]
    found = await with_carried(conn, owned, meters.values(), in_periods)
    changes = await load_unit_changes(conn, [(tenant, one) for one in priced], versions)
    early = [one for one in periods if not merged and _has_bills(one, versions)]
    bills = await load_bills(conn, early) if early else {}
    return LoadedUsage(versions, meters, found, changes, bills, beside)


async def _load_others(
    conn: AsyncConnection,
    tenant: Tenant,
    periods: Sequence[BillingPeriod],
    known: Mapping[UUID, PlanVersion],
) -> dict[UUID, PlanVersion]:
    """Return plan versions of `periods` that are not `known`: a base fee may have another one."""
    missing = {one.plan_version_id for one in periods} - known.keys()
    return await load_versions(conn, [tenant], missing) if missing else {}


async def load_unit_changes(
    conn: AsyncConnection,
    owned: Iterable[tuple[Tenant, BillingPeriod]],
    versions: Mapping[UUID, PlanVersion],
) -> Mapping[UUID, Sequence[UnitChange]]:
    """Return what subscriptions changed of units, by uid, for periods that may bill them."""
    billing = [(of, one) for of, one in owned if versions[one.plan_version_id].fixed_charges]
    if not billing:
        return {}
    tenants = {tenant for tenant, _ in billing}
    return await load_changes(conn, tenants, {one.subscription_uid for _, one in billing})


def _has_bills(period: BillingPeriod, versions: Mapping[UUID, PlanVersion]) -> bool:
    """Tell whether a period bills instant fees, or may have some that were billed early."""
    charges = versions[period.plan_version_id].charges
    early = any(one.instant is not None and one.instant.is_corrected for one in charges)
    return period.kind in (PeriodKind.USAGE, PeriodKind.INSTANT) and early


def price_period(
    period: BillingPeriod,
    version: PlanVersion,
    meters: Mapping[str, Meter],
    found: Mapping[UUID, Sequence[Cell]],
    *,
    changes: Sequence[UnitChange] = (),
    events: Events | None = None,
    closing: bool = True,
    bills: Sequence[Bill] | None = None,
    commitment: Commitment | None = None,
) -> Rated:
    """Price a period of `version`, with its meters by code and the cells `found` by meter.

    `changes` are those of the subscription's units, `events` those that prices look at, by meter
    code. Minimums and fixed charges belong to a period that closes, or is looked at as if it did;
    what its usage has cost so far has none. `bills` are those of instant fees; without them such
    charges are priced as a whole. A `commitment` that the period bills counts usage as a whole.

    Raises:
        AmountTooLarge: it costs more than money can be written in.
        PriceNotComputable: a custom price has no value.
        EventsNotRead: a price looks at events, and they are not those of the cells.
    """
    if period.kind is PeriodKind.BASE:
        base = _base_fee(period, version)
        check_amounts([base])
        return Rated(taxed(version, [base]), ())
    if period.kind is PeriodKind.FIXED:
        fixed = fixed_fees(version, changes, period)
        check_amounts(fixed)
        return Rated(taxed(version, fixed), ())
    if period.kind is PeriodKind.INSTANT:
        billed = fees_of(bills or (), version, period.currency)
        return Rated(taxed(version, billed), ())
    codes = {charge.meter_code for charge in version.charges}
    cells = {code: found.get(meters[code].meter_id, ()) for code in meters.keys() & codes}
    prorated = any(charge.prorated for charge in version.charges)
    span = prorated_span_of(period) if prorated else span_of(period)
    fees = usage_fees(version, meters, cells, currency=period.currency, span=span, events=events)
    if closing:
        fees = with_minimums(version, meters, fees, period)
    fixed = fixed_fees(version, changes, period) if closing else []
    lacking = _commitment_fees(period, commitment, [*fees, *fixed]) if closing else []
    if bills is not None:
        fees = settled(version, fees, bills, period.currency)
    fees += [*fixed, *lacking]
    check_amounts(fees)
    priced = (cell for of_meter in cells.values() for cell in of_meter)
    return Rated(taxed(version, fees), latest_traceparents(priced))


def _commitment_fees(
    period: BillingPeriod, commitment: Commitment | None, fees: Sequence[Fee]
) -> list[Fee]:
    if commitment is None:
        return []
    fee = commitment_fee(commitment, fees, name=period.plan_name, currency=period.currency)
    return [] if fee is None else [fee]


def _base_fee(period: BillingPeriod, version: PlanVersion) -> Fee:
    assert version.base_amount is not None, "only plans with one have base periods"
    return base_fee(
        period.plan_name,
        version.base_amount,
        fee_days=period.fee_days,
        paused=period.paused,
        whole=period.whole,
        currency=period.currency,
    )


def latest_traceparents(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return the distinct traces of the latest slices that changed `cells`, newest first."""
    newest = sorted(cells, key=lambda cell: (-cell.slice_number, cell.traceparent))
    distinct = dict.fromkeys(cell.traceparent for cell in newest if cell.traceparent)
    return tuple(distinct)[:TRACEPARENTS_MAX]


def rated_message(period: BillingPeriod, rated: Rated) -> pb.RatedPeriod:
    """Write a period with its fees."""
    return pb.RatedPeriod(
        period=billing_period_message(period),
        fees=[fee_message(fee, period.currency) for fee in rated.fees],
        amount=total(rated.fees, period.currency),
        plan_version_id=str(period.plan_version_id),
        usage_traceparents=rated.usage_traceparents,
        high_cardinality_meter_codes=rated.high_cardinality_codes,
    )


def total(fees: Sequence[Fee], currency: str) -> money_pb.Money:
    """Write the sum of the amounts of fees."""
    return money_message(Money(currency, sum(fee.amount_minor for fee in fees)))
