"""What instant charges have to know of a period: its events, and what it carries of seats.

It is read while no lock is held.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin_worker
from libs.tenant import Tenant
from services.rating.domain.carrying import BEFORE
from services.rating.domain.cell import Cell
from services.rating.domain.high_cardinality import has_days_in_log, logged_of
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod, PeriodStatus
from services.rating.domain.plan import Charge, PlanVersion
from services.rating.domain.single_events import SingleEvent
from services.rating.operations.carrying import with_carried
from services.rating.operations.log import Log
from services.rating.operations.single_events import Counted, ReadEvents, load_asked, read_events
from services.rating.store import instant_states
from services.rating.store.meters import load_meters
from services.rating.store.periods import load_periods, lock_periods
from services.rating.store.plans import load_versions


@dataclass(frozen=True, slots=True)
class Known:
    """The events of a period, and the cells that it carries, by meter code."""

    events: Mapping[str, Sequence[SingleEvent]]
    carried: Mapping[str, Sequence[Cell]]


def instant_charges(version: PlanVersion) -> list[Charge]:
    """Return the charges of `version` that price events as they come."""
    return [charge for charge in version.charges if charge.instant is not None]


async def read_known(
    worker: AsyncEngine,
    log: Log,
    tenant: Tenant,
    period_ids: Collection[UUID],
    *,
    with_events: bool = True,
) -> dict[UUID, Known]:
    """Read what instant charges know of usage periods of a tenant, by id.

    Without events, the log is read only where what is carried lies there.

    Raises:
        Unavailable: it is away.
    """
    async with begin_worker(worker) as conn:
        periods = list((await load_periods(conn, period_ids)).values())
        meters = await _load_meters(conn, tenant, periods)
        every = {meter.code: meter for found in meters.values() for meter in found}
        owned = [(tenant, period) for period in periods]
        carried = await with_carried(conn, owned, every.values(), {})
        counted = [
            (tenant, one, _counted(meters[one.period_id], carried, one, with_events=with_events))
            for one in periods
        ]
        asked = await load_asked(conn, counted)
    read = await read_events(log, asked)
    return {
        one.period_id: _known(
            meters[one.period_id], carried.get(one.period_id, {}), read.get(one.period_id)
        )
        for one in periods
    }


async def lock_usage(
    conn: AsyncConnection, tenant: Tenant, usage: Collection[BillingPeriod]
) -> list[BillingPeriod]:
    """Lock `usage` periods, and what bills them by the day; return those that are not closed."""
    bills = await instant_states.find_open_bills(conn, tenant, usage)
    ids = [one.period_id for one in usage]
    locked = await lock_periods(conn, tenant, {*ids, *bills})
    return [locked[one] for one in ids if locked[one].status is not PeriodStatus.CLOSED]


async def _load_meters(
    conn: AsyncConnection, tenant: Tenant, periods: Sequence[BillingPeriod]
) -> dict[UUID, list[Meter]]:
    """Return the meters that instant charges of periods price, by period."""
    versions = await load_versions(conn, [tenant], {one.plan_version_id for one in periods})
    codes = {
        version_id: {charge.meter_code for charge in instant_charges(version)}
        for version_id, version in versions.items()
    }
    meters = await load_meters(conn, tenant, set[str]().union(*codes.values()))
    return {
        one.period_id: [meters[code] for code in sorted(codes[one.plan_version_id])]
        for one in periods
    }


def _counted(
    meters: Sequence[Meter],
    carried: Mapping[UUID, Mapping[UUID, Sequence[Cell]]],
    period: BillingPeriod,
    *,
    with_events: bool,
) -> Counted | None:
    of_period = carried.get(period.period_id, {})
    logged = [one for one in meters if has_days_in_log(of_period.get(one.meter_id, ()))]
    if not with_events and not logged:
        return None
    return Counted(
        meters=tuple(meters) if with_events else (),
        mark=(),
        logged=tuple(logged_of(one, ()) for one in logged),
    )


def _known(
    meters: Sequence[Meter],
    carried: Mapping[UUID, Sequence[Cell]],
    read: ReadEvents | None,
) -> Known:
    cells = carried if read is None else read.instead(carried)
    before = {
        meter.code: [one for one in cells.get(meter.meter_id, ()) if one.day == BEFORE]
        for meter in meters
    }
    return Known({} if read is None else read.events, before)
