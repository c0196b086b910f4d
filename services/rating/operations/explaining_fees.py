"""Telling which events a fee was priced from, as of the positions that were frozen with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from libs.db import Snapshots
from libs.partition import partition_of
from libs.quantity import decimal_text
from libs.tenant import Tenant
from libs.wire import period_message, timestamp
from services.rating.domain.attribution import Catalog
from services.rating.domain.event import UsageEvent, instant_of
from services.rating.domain.fee import FeeKey
from services.rating.domain.fee_events import charge_of, fee_events, fee_note
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import Charge
from services.rating.domain.single_events import SingleEvent
from services.rating.operations.log import Log, count_partitions, is_applied, newest_applied
from services.rating.store.applied import Lane, load_applied
from services.rating.store.catalog import load_meters_by_type, load_terms
from services.rating.store.closes import find_positions
from services.rating.store.periods import load_period
from services.rating.store.plans import load_version
from tally.ingest.v1.event_pb2 import LogPosition
from tally.rating.v1 import fee_explanation_pb2 as pb


@dataclass(frozen=True, slots=True)
class WantedFee:
    """Names a fee of a period's close (sequence 0), or of an adjustment of it."""

    period_id: UUID
    sequence: int
    key: FeeKey


@dataclass(frozen=True, slots=True)
class _Basis:
    period: BillingPeriod
    charge: Charge | None  # None where the period has no usage.
    meter: Meter | None
    catalog: Catalog
    applied: Mapping[Lane, int]
    frozen: bool


async def explain_fee(
    snapshots: Snapshots, log: Log, tenant: Tenant, wanted: WantedFee
) -> AsyncGenerator[pb.ExplainFeeResponse, None]:
    """Give as of when a fee was priced, and then its events, page by page.

    Whose usage an event is, is decided by subscriptions as they are now. Memory holds one page.

    Raises:
        PeriodNotFound: there is none.
        FieldInvalid: its plan version has no such charge.
        Refused: some of its events were dropped; the reason is LOG_TRIMMED.
        Unavailable: a shard is away.
    """
    basis = await _load(snapshots, tenant, wanted)
    period = basis.period
    partition = partition_of(tenant, period.customer_id, await count_partitions(log))
    yield pb.ExplainFeeResponse(basis=_basis_message(basis, wanted.sequence, partition))
    if basis.charge is None or basis.meter is None:
        return
    pages = log.events(
        tenant,
        period.customer_id,
        start=period.usage.start,
        end=period.usage.end,
        event_type=basis.meter.event_type,
        corrected_through=newest_applied(basis.applied, partition),
    )
    async with aclosing(pages):
        async for page in pages:
            counted = [event for event in page if is_applied(event, basis.applied, partition)]
            found = fee_events(
                counted, basis.catalog, basis.charge, basis.meter, wanted.key, period=period
            )
            if found:
                events = [_event_message(event, basis.meter, one) for event, one in found]
                yield pb.ExplainFeeResponse(events=pb.FeeEvents(events=events))


async def _load(snapshots: Snapshots, tenant: Tenant, wanted: WantedFee) -> _Basis:
    async with snapshots.begin() as conn:
        period = await load_period(conn, tenant, wanted.period_id)
        positions = await find_positions(conn, tenant, wanted.period_id, wanted.sequence)
        applied = await load_applied(conn) if positions is None else positions
        charge, meter = None, None
        if period.kind is PeriodKind.USAGE:
            version = await load_version(conn, tenant, period.plan_version_id)
            charge = charge_of(version, wanted.key.charge_code)
            by_type = (await load_meters_by_type(conn, [tenant]))[tenant]
            meters = {one.code: one for of_type in by_type.values() for one in of_type}
            meter = meters[charge.meter_code]
        customer = (tenant, period.customer_id)
        terms = (await load_terms(conn, [customer]))[customer]
    catalog = Catalog(0, {}, {period.customer_id: terms})
    return _Basis(period, charge, meter, catalog, applied, positions is not None)


def _basis_message(basis: _Basis, sequence: int, partition: int) -> pb.FeeBasis:
    return pb.FeeBasis(
        frozen=basis.frozen,
        counted_slices=[
            pb.CountedSlice(shard=lane.shard, partition=lane.partition, number=number)
            for lane, number in sorted(basis.applied.items())
            if lane.partition == partition
        ],
        period=period_message(basis.period.usage.start, basis.period.usage.end),
        note=fee_note(basis.period, sequence, basis.meter),
    )


def _event_message(event: UsageEvent, meter: Meter, counted: SingleEvent) -> pb.FeeEvent:
    keys = (dimension.key for dimension in meter.dimensions)
    time, *place = event.moment
    return pb.FeeEvent(
        source=event.source,
        id=event.id,
        time=timestamp(instant_of(time)),
        position=LogPosition(shard=place[0], number=place[1], index=place[2]),
        value=decimal_text(counted.value),
        dimensions=dict(zip(keys, counted.dimensions, strict=True)),
        amount="" if event.amount is None else decimal_text(event.amount),
    )
