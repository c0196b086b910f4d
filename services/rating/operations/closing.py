"""Freezing what billing periods cost: once, and later how it has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin
from libs.errors import FieldInvalid
from libs.telemetry import links_from
from libs.tenant import Tenant
from services.rating.domain.fee import adjustments
from services.rating.domain.instant_bill import without_refunds
from services.rating.domain.period import (
    AdjustmentOutOfOrder,
    BillingPeriod,
    PeriodNotClosed,
    PeriodNotDue,
    PeriodStatus,
)
from services.rating.operations.folding import announce_late
from services.rating.operations.log import Log
from services.rating.operations.rating import Rated, rate_periods, rated_message, read_periods
from services.rating.operations.reattributing import check_not_reattributing
from services.rating.operations.single_events import EventsOutdated, ReadEvents
from services.rating.store.applied import load_applied
from services.rating.store.closes import CLOSE, Close, insert_closes, list_closes, load_closes
from services.rating.store.periods import load_period, lock_periods, set_status
from tally.rating.v1 import rating_service_pb2 as pb

TRIES = 3  # To close while usage goes on, for prices that look at single events.

T = TypeVar("T")
Read = Mapping[UUID, ReadEvents]


async def close_period(
    engine: AsyncEngine, log: Log, tenant: Tenant, period_id: UUID, *, now: datetime
) -> pb.ClosePeriodResponse:
    """Freeze what a due period costs; a repeat gets the first answer. Errors: `close_periods`."""
    [(period, close)] = await _close_all(engine, log, tenant, [period_id], now=now)
    _link(close.usage_traceparents)
    return pb.ClosePeriodResponse(rated=close_message(period, close))


async def close_periods(
    engine: AsyncEngine, log: Log, tenant: Tenant, period_ids: Sequence[UUID], *, now: datetime
) -> pb.ClosePeriodsResponse:
    """Freeze what due periods cost, all or none of them; repeats get the first answers.

    Raises:
        FieldInvalid: one is named twice.
        PeriodNotFound: one does not exist.
        PeriodNotDue: one was not announced as due.
        PriceNotComputable: a custom price of one has no value.
        Unavailable: the usage of one is being attributed again, or its events cannot be read.
    """
    if len(set(period_ids)) < len(period_ids):
        raise FieldInvalid("period_ids", "name a period twice")
    closed = await _close_all(engine, log, tenant, period_ids, now=now)
    return pb.ClosePeriodsResponse(rated=[close_message(*one) for one in closed])


async def _close_all(
    engine: AsyncEngine, log: Log, tenant: Tenant, period_ids: Sequence[UUID], *, now: datetime
) -> list[tuple[BillingPeriod, Close]]:
    """Return what was frozen of periods, now or before, in their order.

    The locks keep folds from their cells until the fees are stored: usage is either in them, or
    comes to a closed period and is announced as late.
    """

    async def close(read: Read) -> list[tuple[BillingPeriod, Close]]:
        async with begin(engine, tenant) as conn:
            periods = await lock_periods(conn, tenant, period_ids)
            frozen = await _close_due(conn, tenant, list(periods.values()), read, now=now)
            before = periods.keys() - frozen.keys()
            if before:
                for (_, period_id, sequence), close in await list_closes(conn, period_ids=before):
                    if sequence == CLOSE:
                        frozen[period_id] = close
        return [(periods[period_id], frozen[period_id]) for period_id in period_ids]

    return await _with_events(engine, log, tenant, close)


async def _close_due(
    conn: AsyncConnection,
    tenant: Tenant,
    periods: Sequence[BillingPeriod],
    read: Read,
    *,
    now: datetime,
) -> dict[UUID, Close]:
    """Freeze those of the locked `periods` that are due, and return what was frozen, by id."""
    for period in periods:
        if period.status is PeriodStatus.OPEN:
            raise PeriodNotDue(f"the billing period {period.period_id} is due at {period.due_at}")
    due = [one for one in periods if one.status is PeriodStatus.DUE]
    await check_not_reattributing(conn, tenant, due)
    rated = await rate_periods(conn, tenant, due, read)
    kept = [replace(price, fees=without_refunds(price.fees)) for price in rated]
    frozen = {
        period.period_id: _close(CLOSE, period, price)
        for period, price in zip(due, kept, strict=True)
    }
    await _freeze(conn, tenant, frozen, now=now)
    await set_status(conn, {tenant: frozen.keys()}, PeriodStatus.CLOSED)
    refunded = [
        (tenant, replace(period, status=PeriodStatus.CLOSED))
        for period, whole, price in zip(due, rated, kept, strict=True)
        if whole.fees != price.fees
    ]
    await announce_late(conn, refunded)  # An adjustment is to bring what was left out.
    return frozen


async def close_adjustment(
    engine: AsyncEngine,
    log: Log,
    tenant: Tenant,
    period_id: UUID,
    *,
    sequence: int,
    now: datetime,
) -> pb.CloseAdjustmentResponse:
    """Freeze how the price of a closed period now differs from all that was frozen of it.

    Raises:
        FieldInvalid: `sequence` is not above 0.
        PeriodNotFound: there is none.
        PeriodNotClosed: it is not closed.
        AdjustmentOutOfOrder: the adjustment before this one does not exist.
        PriceNotComputable: a custom price has no value.
        Unavailable: its usage is being attributed again, or its events cannot be read.
    """
    if sequence < 1:
        raise FieldInvalid("sequence", f"is {sequence}, must be above 0")

    async def adjust(read: Read) -> tuple[BillingPeriod, Close]:
        async with begin(engine, tenant) as conn:
            period = await load_period(conn, tenant, period_id, lock=True)
            if period.status is not PeriodStatus.CLOSED:
                raise PeriodNotClosed(f"the billing period {period_id} is {period.status}")
            frozen = await load_closes(conn, tenant, period_id)
            _check_sequence(sequence, len(frozen))
            if sequence < len(frozen):
                return period, frozen[sequence]
            await check_not_reattributing(conn, tenant, [period])
            [rated] = await rate_periods(conn, tenant, [period], read)
            billed = [fee for each in frozen for fee in each.fees]
            difference = replace(rated, fees=tuple(adjustments(rated.fees, billed)))
            close = _close(sequence, period, difference)
            await _freeze(conn, tenant, {period_id: close}, now=now)
            return period, close

    period, close = await _with_events(engine, log, tenant, adjust)
    _link(close.usage_traceparents)
    return pb.CloseAdjustmentResponse(adjustment=close_message(period, close))


def _check_sequence(sequence: int, following: int) -> None:
    if sequence > following:
        raise AdjustmentOutOfOrder(
            f"the next adjustment is {following}, not {sequence}",
            metadata={"next_sequence": str(following)},
        )


async def _with_events(
    engine: AsyncEngine, log: Log, tenant: Tenant, do: Callable[[Read], Awaitable[T]]
) -> T:
    """Do what prices periods in a transaction of its own, with the single events that it needs.

    It is asked without any first: most prices need none. What it misses is read after its
    transaction was rolled back, so that no lock is held meanwhile.
    """
    read: Read = {}
    for _ in range(TRIES):
        try:
            return await do(read)
        except EventsOutdated as outdated:
            fresh = await read_periods(engine, log, tenant, outdated.period_ids)
            read = {**read, **fresh}
    return await do(read)


def close_message(period: BillingPeriod, close: Close) -> pb.RatedPeriod:
    """Write what was frozen of a period, as it was then."""
    as_frozen = replace(period, status=PeriodStatus.CLOSED, late_version=close.late_version)
    return rated_message(as_frozen, Rated(close.fees, close.usage_traceparents))


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


def _link(traceparents: Iterable[str]) -> None:
    span = trace.get_current_span()
    for link in links_from(traceparents):
        span.add_link(link.context)
