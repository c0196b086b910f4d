"""Pricing billing periods, and freezing what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin
from libs.errors import FieldInvalid
from libs.money import Money
from libs.telemetry import links_from
from libs.tenant import Tenant
from libs.wire import money_message, period_message
from services.rating.domain.cell import Cell
from services.rating.domain.fee import Fee, adjustments, base_fee, check_amounts, usage_fees
from services.rating.domain.meter import Meter
from services.rating.domain.period import (
    AdjustmentOutOfOrder,
    BillingPeriod,
    PeriodKind,
    PeriodNotClosed,
    PeriodNotDue,
    PeriodStatus,
)
from services.rating.domain.plan import PlanVersion
from services.rating.domain.usage import span_of
from services.rating.operations.carrying import with_carried
from services.rating.operations.messages import billing_period_message, fee_message
from services.rating.operations.reattributing import check_not_reattributing
from services.rating.store.applied import load_applied
from services.rating.store.cells import load_cells
from services.rating.store.closes import CLOSE, Close, insert_closes, list_closes, load_closes
from services.rating.store.meters import load_meters
from services.rating.store.periods import (
    load_period,
    load_usage_period,
    lock_periods,
    set_status,
)
from services.rating.store.plans import load_versions
from services.rating.store.subscriptions import load_newest
from tally.common.v1 import money_pb2 as money_pb
from tally.rating.v1 import rating_service_pb2 as pb
from tally.rating.v1 import usage_service_pb2 as usage_pb

TRACEPARENTS_MAX = 32


@dataclass(frozen=True, slots=True)
class Rated:
    """What a period costs as of its cells, and the traces that brought its latest usage."""

    fees: tuple[Fee, ...]
    usage_traceparents: tuple[str, ...]


async def rate_period(
    engine: AsyncEngine, tenant: Tenant, period_id: UUID
) -> pb.RatePeriodResponse:
    """Price a period as of now; nothing is stored.

    Raises:
        PeriodNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        period = await load_period(conn, tenant, period_id)
        [rated] = await _rate(conn, tenant, [period])
    return pb.RatePeriodResponse(rated=_rated_message(period, rated))


async def get_usage(
    engine: AsyncEngine, tenant: Tenant, subscription_id: str, at: datetime
) -> usage_pb.GetUsageResponse:
    """Price the usage period of the newest life of a subscription that holds `at`.

    Raises:
        SubscriptionNotFound: there is none of that id.
        PeriodNotFound: no usage period holds `at`.
    """
    async with begin(engine, tenant) as conn:
        subscription = await load_newest(conn, tenant, subscription_id)
        period = await load_usage_period(conn, tenant, subscription, at)
        [rated] = await _rate(conn, tenant, [period])
    return usage_pb.GetUsageResponse(
        period=period_message(period.usage.start, period.usage.end),
        fees=[fee_message(fee, period.currency) for fee in rated.fees],
        amount=_total(rated.fees, period.currency),
    )


async def close_period(
    engine: AsyncEngine, tenant: Tenant, period_id: UUID, *, now: datetime
) -> pb.ClosePeriodResponse:
    """Freeze what a due period costs; a repeat gets the first answer. Errors: `close_periods`."""
    [(period, close)] = await _close_all(engine, tenant, [period_id], now=now)
    _link(close.usage_traceparents)
    return pb.ClosePeriodResponse(rated=close_message(period, close))


async def close_periods(
    engine: AsyncEngine, tenant: Tenant, period_ids: Sequence[UUID], *, now: datetime
) -> pb.ClosePeriodsResponse:
    """Freeze what due periods cost, all or none of them; repeats get the first answers.

    Raises:
        FieldInvalid: one is named twice.
        PeriodNotFound: one does not exist.
        PeriodNotDue: one was not announced as due.
        Unavailable: the usage of one is being attributed again.
    """
    if len(set(period_ids)) < len(period_ids):
        raise FieldInvalid("period_ids", "name a period twice")
    closed = await _close_all(engine, tenant, period_ids, now=now)
    return pb.ClosePeriodsResponse(rated=[close_message(*one) for one in closed])


async def _close_all(
    engine: AsyncEngine, tenant: Tenant, period_ids: Sequence[UUID], *, now: datetime
) -> list[tuple[BillingPeriod, Close]]:
    """Return what was frozen of periods, now or before, in their order.

    The locks keep folds from their cells until the fees are stored: usage is either in them, or
    comes to a closed period and is announced as late.
    """
    async with begin(engine, tenant) as conn:
        periods = await lock_periods(conn, tenant, period_ids)
        for period in periods.values():
            if period.status is PeriodStatus.OPEN:
                raise PeriodNotDue(
                    f"the billing period {period.period_id} is due at {period.due_at}"
                )
        due = [one for one in periods.values() if one.status is PeriodStatus.DUE]
        await check_not_reattributing(conn, tenant, due)
        rated = await _rate(conn, tenant, due)
        frozen = {
            period.period_id: _close(CLOSE, period, price)
            for period, price in zip(due, rated, strict=True)
        }
        await _freeze(conn, tenant, frozen, now=now)
        await set_status(conn, {tenant: frozen.keys()}, PeriodStatus.CLOSED)
        before = periods.keys() - frozen.keys()
        if before:
            for (_, period_id, sequence), close in await list_closes(conn, period_ids=before):
                if sequence == CLOSE:
                    frozen[period_id] = close
    return [(periods[period_id], frozen[period_id]) for period_id in period_ids]


async def close_adjustment(
    engine: AsyncEngine, tenant: Tenant, period_id: UUID, sequence: int, *, now: datetime
) -> pb.CloseAdjustmentResponse:
    """Freeze how the price of a closed period now differs from all that was frozen of it.

    Raises:
        FieldInvalid: `sequence` is not above 0.
        PeriodNotFound: there is none.
        PeriodNotClosed: it is not closed.
        AdjustmentOutOfOrder: the adjustment before this one does not exist.
        Unavailable: its usage is being attributed again.
    """
    if sequence < 1:
        raise FieldInvalid("sequence", f"is {sequence}, must be above 0")
    async with begin(engine, tenant) as conn:
        period = await load_period(conn, tenant, period_id, lock=True)
        if period.status is not PeriodStatus.CLOSED:
            raise PeriodNotClosed(f"the billing period {period_id} is {period.status}")
        frozen = await load_closes(conn, tenant, period_id)
        if sequence > len(frozen):
            raise AdjustmentOutOfOrder(
                f"the next adjustment is {len(frozen)}, not {sequence}",
                metadata={"next_sequence": str(len(frozen))},
            )
        if sequence < len(frozen):
            close = frozen[sequence]
        else:
            await check_not_reattributing(conn, tenant, [period])
            [rated] = await _rate(conn, tenant, [period])
            billed = [fee for each in frozen for fee in each.fees]
            difference = replace(rated, fees=tuple(adjustments(rated.fees, billed)))
            close = _close(sequence, period, difference)
            await _freeze(conn, tenant, {period_id: close}, now=now)
    _link(close.usage_traceparents)
    return pb.CloseAdjustmentResponse(adjustment=close_message(period, close))


def price_period(
    period: BillingPeriod,
    version: PlanVersion,
    meters: Mapping[str, Meter],
    found: Mapping[UUID, Sequence[Cell]],
) -> Rated:
    """Price a period of `version`, with its meters by code and the cells `found` by meter.

    Raises:
        AmountTooLarge: it costs more than money can be written in.
    """
    if period.kind is PeriodKind.BASE:
        base = _base_fee(period, version)
        check_amounts([base])
        return Rated((base,), ())
    codes = {charge.meter_code for charge in version.charges}
    cells = {code: found.get(meters[code].meter_id, ()) for code in meters.keys() & codes}
    span = span_of(period)
    fees = usage_fees(version, meters, cells, currency=period.currency, span=span)
    check_amounts(fees)
    priced = (cell for of_meter in cells.values() for cell in of_meter)
    return Rated(tuple(fees), latest_traceparents(priced))


def close_message(period: BillingPeriod, close: Close) -> pb.RatedPeriod:
    """Write what was frozen of a period, as it was then."""
    as_frozen = replace(period, status=PeriodStatus.CLOSED, late_version=close.late_version)
    return _rated_message(as_frozen, Rated(close.fees, close.usage_traceparents))


async def _rate(
    conn: AsyncConnection, tenant: Tenant, periods: Sequence[BillingPeriod]
) -> list[Rated]:
    """Price periods as of their cells, in their order."""
    versions = await load_versions(conn, [tenant], {one.plan_version_id for one in periods})
    usage = [period for period in periods if period.kind is PeriodKind.USAGE]
    charged = {one.plan_version_id for one in usage}
    codes = {charge.meter_code for one in charged for charge in versions[one].charges}
    meters = await load_meters(conn, tenant, codes) if codes else {}
    in_periods = await load_cells(conn, tenant, usage)
    owned = [(tenant, period) for period in usage]
    found = await with_carried(conn, owned, meters.values(), in_periods)
    return [
        price_period(
            period, versions[period.plan_version_id], meters, found.get(period.period_id, {})
        )
        for period in periods
    ]


def _base_fee(period: BillingPeriod, version: PlanVersion) -> Fee:
    assert version.base_amount is not None, "only plans with one have base periods"
    return base_fee(
        period.plan_name,
        version.base_amount,
        fee_days=period.fee_days,
        whole=period.whole,
        currency=period.currency,
    )


def latest_traceparents(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return the distinct traces of the latest slices that changed `cells`, newest first."""
    newest = sorted(cells, key=lambda cell: (-cell.slice_number, cell.traceparent))
    distinct = dict.fromkeys(cell.traceparent for cell in newest if cell.traceparent)
    return tuple(distinct)[:TRACEPARENTS_MAX]


def _close(sequence: int, period: BillingPeriod, rated: Rated) -> Close:
    return Close(
        sequence=sequence,
        late_version=period.late_version,
        usage_traceparents=rated.usage_traceparents,
        fees=rated.fees,
    )


async def _freeze(
    conn: AsyncConnection, tenant: Tenant, frozen: Mapping[UUID, Close], *, now: datetime
) -> None:
    # Read under the periods' locks: no fold that touches them can move them meanwhile.
    positions = await load_applied(conn)
    await insert_closes(conn, tenant, frozen, applied=positions, closed_at=now)


def _rated_message(period: BillingPeriod, rated: Rated) -> pb.RatedPeriod:
    return pb.RatedPeriod(
        period=billing_period_message(period),
        fees=[fee_message(fee, period.currency) for fee in rated.fees],
        amount=_total(rated.fees, period.currency),
        plan_version_id=str(period.plan_version_id),
        usage_traceparents=rated.usage_traceparents,
    )


def _total(fees: Sequence[Fee], currency: str) -> money_pb.Money:
    return money_message(Money(currency, sum(fee.amount_minor for fee in fees)))


def _link(traceparents: Iterable[str]) -> None:
    span = trace.get_current_span()
    for link in links_from(traceparents):
        span.add_link(link.context)
