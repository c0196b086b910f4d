"""Renewing seats: what periods carry is charged as they start, once the usage before is known.

Late usage does not change what was renewed: the period's close corrects it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin_worker
from libs.telemetry import tracer
from libs.tenant import Tenant
from services.rating.domain.instant_rating import RatedSlice
from services.rating.domain.instant_state import State
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import Charge, PlanVersion
from services.rating.domain.seat_period import seat_period_of
from services.rating.domain.seat_rating import rate_seats
from services.rating.domain.seats import KnownUsage, is_seats
from services.rating.operations.instant_known import (
    Known,
    instant_charges,
    lock_usage,
    read_known,
)
from services.rating.operations.instant_storing import Origin, store_rated
from services.rating.operations.log import Log
from services.rating.store import instant_states, renewals
from services.rating.store.meters import load_meters
from services.rating.store.plans import load_versions
from services.rating.store.reattributions import find_jobs
from services.rating.store.renewals import Owned

PERIODS_MAX = 100  # Looked for at once.

spans = tracer(__name__)


async def load_to_renew(worker: AsyncEngine, now: datetime) -> Sequence[Owned]:
    """Return periods that are to be renewed by `now`, oldest first."""
    async with begin_worker(worker) as conn:
        return await renewals.find_to_renew(conn, now, limit=PERIODS_MAX)


async def renew(
    worker: AsyncEngine,
    log: Log,
    owned: Sequence[Owned],
    watermark: datetime | None,
    *,
    now: datetime,
) -> int:
    """Charge what those of the periods carry whose usage before is in the cells; return how many.

    Every event acknowledged before `watermark` is; None: nothing is known.

    Raises:
        Unavailable: what is carried lies in the log, and that is away.
    """
    async with begin_worker(worker) as conn:
        partial = await find_jobs(conn, {(tenant, one.customer_id) for tenant, one in owned})
    ready = [
        (tenant, one)
        for tenant, one in owned
        if watermark is not None
        and one.usage.start <= watermark
        and (tenant, one.customer_id) not in partial
    ]
    for tenant, of_tenant in groupby(sorted(ready, key=_tenant), key=_tenant):
        with spans.start_as_current_span("renew seats", context=Context()):
            await _renew(worker, log, tenant, [one for _, one in of_tenant], now=now)
    return len(ready)


def _tenant(owned: Owned) -> Tenant:
    return owned[0]


async def _renew(
    worker: AsyncEngine,
    log: Log,
    tenant: Tenant,
    periods: Sequence[BillingPeriod],
    *,
    now: datetime,
) -> None:
    """Renew periods of a tenant, but for those that another has renewed meanwhile."""
    ids = [one.period_id for one in periods]
    read = await read_known(worker, log, tenant, ids, with_events=False)
    async with begin_worker(worker) as conn:
        locked = await lock_usage(conn, tenant, periods)
        times = await renewals.find_renewal_times(conn, tenant, ids)
        chosen = [one for one in locked if one.period_id in times]
        versions = await load_versions(conn, [tenant], {one.plan_version_id for one in chosen})
        meters = await _load_meters(conn, tenant, versions)
        states = await instant_states.load_states(conn, tenant, [one.period_id for one in chosen])
        for period in chosen:
            origin = Origin(tenant, meters, None, due_at=times[period.period_id])
            version = versions[period.plan_version_id]
            rated = _renewed(period, version, meters, read[period.period_id], states)
            await store_rated(conn, origin, period, rated, now=now)
        await renewals.note_renewed(conn, tenant, ids)


async def _load_meters(
    conn: AsyncConnection, tenant: Tenant, versions: Mapping[UUID, PlanVersion]
) -> dict[str, Meter]:
    charges = [charge for version in versions.values() for charge in instant_charges(version)]
    return await load_meters(conn, tenant, {charge.meter_code for charge in charges})


def _renewed(
    period: BillingPeriod,
    version: PlanVersion,
    meters: Mapping[str, Meter],
    known: Known,
    states: Mapping[instant_states.Place, State],
) -> list[tuple[Charge, RatedSlice]]:
    """Price what a period carries."""
    opening = {seat_period_of(period).opening}
    found = []
    for charge in instant_charges(version):
        meter = meters[charge.meter_code]
        if not is_seats(charge, meter):
            continue
        of_charge = instant_states.states_of(states, period.period_id, charge.code)
        carried = KnownUsage(known.carried.get(meter.code, ()))
        rated = rate_seats(charge, meter, carried, opening, period=period, states=of_charge)
        found.append((charge, rated))
    return found
