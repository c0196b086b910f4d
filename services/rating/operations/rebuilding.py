"""Computing usage again from the log beside what is stored, and putting it in its place.

Readers see all usage throughout. Days are taken a stretch at a time, each in a transaction of its
own: whoever stops halfway leaves whole days, as they were or as they are now.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.db import Snapshots, begin, begin_worker
from libs.errors import Unavailable
from libs.partition import partition_of
from libs.period import DayPeriod
from libs.requests import Answered, Request, find_answers, store_answers
from libs.tenant import Tenant
from services.rating.domain.attribution import Catalog
from services.rating.domain.high_cardinality import CELLS_PER_DAY_MAX
from services.rating.domain.period import PeriodStatus
from services.rating.domain.rebuilding import Shadow, log_window
from services.rating.operations.folding import announce_late
from services.rating.operations.log import (
    LogBroken,
    WholeLog,
    applied_slices,
    count_partitions,
    newest_applied,
    pages_of,
)
from services.rating.operations.reattributing import reattribute
from services.rating.operations.refolding import load_refolding
from services.rating.operations.usage import UsageReader
from services.rating.store import rebuilding as store
from services.rating.store.applied import Lane, load_applied
from services.rating.store.catalog import hold_versions, load_versions, open_catalogs
from services.rating.store.periods import lock_touched
from services.rating.store.reattributions import find_job
from services.rating.store.rebuilding import Changes, Mark, Owner
from services.rating.store.watched import note_customer
from tally.rating.v1 import rebuild_pb2 as rebuild_pb
from tally.rating.v1 import usage_service_pb2 as pb

ROWS_MAX = 20_000  # Of cells and their parts in memory, as far as they are stored.
TRIES = 50  # Of a stretch; a fold of the customer may come between each time.


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """Where one tenant's usage is computed again."""

    reader: UsageReader
    log: WholeLog
    cells_per_day_max: int = CELLS_PER_DAY_MAX

    @property
    def tenant(self) -> Tenant:
        """Whose usage it is."""
        return self.reader.tenant


@dataclass(slots=True)
class _View:
    """How far the cells of a stretch were at one instant: the log up to `applied` is in them."""

    applied: dict[Lane, int]
    mark: Mark


@dataclass(slots=True)
class _Stretch:
    """Some days of a customer, folded up to where the cells were as `view` was taken."""

    owner: Owner
    shadow: Shadow
    view: _View

    @property
    def days(self) -> DayPeriod:
        return self.shadow.days


async def rebuild_usage(
    rebuilder: Rebuilder, request: Request, customer_id: str
) -> AsyncGenerator[pb.RebuildUsageResponse, None]:
    """Compute the usage of a customer, "" for all, again; give progress, and last what was done.

    It may be stopped and asked for again at any time; what was done is not done twice.

    Raises:
        RequestIdReused: the request's id came before with other content.
        Unavailable: the log or the database is away, or usage keeps changing meanwhile.
    """
    reader = rebuilder.reader
    async with begin(reader.app, rebuilder.tenant) as conn:
        before = (await find_answers(conn, rebuilder.tenant, [request.key])).get(request.key)
        customers = [customer_id]
        if not customer_id:
            customers = await store.find_customers(conn, rebuilder.tenant)
    if before is not None:
        before.check_same(request)
        yield pb.RebuildUsageResponse(rebuilt=rebuild_pb.RebuiltUsage.FromString(before.answer))
        return
    done = rebuild_pb.RebuiltUsage()
    for who in customers:
        parts = _rebuild_customer(rebuilder, who, done)
        async with aclosing(parts):
            async for whole in parts:
                done.customer_count += whole
                yield _progress(who, done, len(customers))
    async with begin(reader.app, rebuilder.tenant) as conn:
        answered = Answered(request.digest, done.SerializeToString())
        # False: a twin of this call was done first, and did the same.
        await store_answers(conn, rebuilder.tenant, {request.key: answered})
    yield pb.RebuildUsageResponse(rebuilt=done)


def _progress(
    customer_id: str, done: rebuild_pb.RebuiltUsage, count: int
) -> pb.RebuildUsageResponse:
    return pb.RebuildUsageResponse(
        progress=rebuild_pb.RebuildProgress(
            customer_id=customer_id,
            customers_done=done.customer_count,
            customer_count=count,
            event_count=done.event_count,
            cell_count=done.cell_count,
        )
    )


async def _rebuild_customer(
    rebuilder: Rebuilder, customer_id: str, done: rebuild_pb.RebuiltUsage
) -> AsyncGenerator[bool, None]:
    """Rebuild a customer stretch by stretch, adding to `done`; give whether that was the last."""
    async with _snapshots(rebuilder).begin() as conn:
        owner, _ = await _load_owner(conn, rebuilder.tenant, customer_id)
        stretches = await store.load_stretches(conn, owner, rows_max=ROWS_MAX)
    for days in stretches:
        await _rebuild_days(rebuilder, customer_id, days, done)
        yield days is stretches[-1]


async def _rebuild_days(
    rebuilder: Rebuilder, customer_id: str, days: DayPeriod, done: rebuild_pb.RebuiltUsage
) -> None:
    """Fold `days` beside what is stored until no fold comes between that and the exchange."""
    stretch: _Stretch | None = None
    for _ in range(TRIES):
        await _finish_job(rebuilder, customer_id)
        if stretch is None or not await _catch_up(rebuilder, stretch):
            stretch = await _fold_days(rebuilder, customer_id, days)
        exchanged = await _exchange(rebuilder, stretch)
        if exchanged is not None:
            changes, late = exchanged
            done.event_count += stretch.shadow.event_count
            done.cell_count += len(stretch.shadow.folded.cells)
            done.changed_cell_count += changes.cell_count
            done.late_period_count += late
            return
    raise Unavailable(f"the usage of {customer_id} changes faster than it is computed")


async def _finish_job(rebuilder: Rebuilder, customer_id: str) -> None:
    """Work off the job that fills emptied cells of the customer, if there is one."""
    worker = rebuilder.reader.worker
    async with begin_worker(worker) as conn:
        job = await find_job(conn, rebuilder.tenant, customer_id)
    if job is not None:
        cells_max = rebuilder.cells_per_day_max
        await reattribute(worker, rebuilder.log, job, cells_per_day_max=cells_max)


async def _fold_days(rebuilder: Rebuilder, customer_id: str, days: DayPeriod) -> _Stretch:
    tenant, log = rebuilder.tenant, rebuilder.log
    async with _snapshots(rebuilder).begin() as conn:
        owner, catalog = await _load_owner(conn, tenant, customer_id)
        view = await _look(conn, owner, days)
    partition = partition_of(tenant, customer_id, await count_partitions(log))
    shadow = Shadow(tenant, customer_id, days, catalog, rebuilder.cells_per_day_max)
    start, end = log_window(days)
    pages = log.events(
        tenant,
        customer_id,
        start=start,
        end=end,
        corrected_through=newest_applied(view.applied, partition),
    )
    async with aclosing(pages):
        async for events in pages:
            slices = applied_slices(events, view.applied, partition)
            await asyncio.to_thread(shadow.add, slices)
    return _Stretch(owner, shadow, view)


async def _catch_up(rebuilder: Rebuilder, stretch: _Stretch) -> bool:
    """Add what was folded since; False: it was corrected, and has to be folded anew."""
    tenant, shadow = rebuilder.tenant, stretch.shadow
    async with _snapshots(rebuilder).begin() as conn:
        versions = await load_versions(conn, [tenant])
        view = await _look(conn, stretch.owner, shadow.days)
    if versions.get(tenant, 0) != shadow.catalog.version:
        return False
    partition = partition_of(tenant, shadow.customer_id, await count_partitions(rebuilder.log))
    for lane in sorted(lane for lane in view.applied if lane.partition == partition):
        after, through = stretch.view.applied.get(lane, 0), view.applied[lane]
        try:
            async with aclosing(pages_of(rebuilder.log, lane, through, after=after)) as pages:
                async for page in pages:
                    if shadow.is_corrected_by(page):
                        return False
                    await asyncio.to_thread(shadow.add, page)
        except LogBroken as broken:
            raise Unavailable(f"the log cannot be read: {broken.said}") from broken
    stretch.view = view
    return True


async def _exchange(rebuilder: Rebuilder, stretch: _Stretch) -> tuple[Changes, int] | None:
    """Put the shadow in the place of what is stored; None: that was changed since it was looked at.

    Locks as a fold with corrections does: the catalog alone, billing periods, cells. Returns what
    changed, and how many announced periods were told of.
    """
    tenant, owner, days = rebuilder.tenant, stretch.owner, stretch.days
    folded, catalog = stretch.shadow.folded, stretch.shadow.catalog
    async with begin_worker(rebuilder.reader.worker) as conn:
        await open_catalogs(conn, [tenant])
        held = await hold_versions(conn, [tenant], alone=True)
        job = await find_job(conn, tenant, owner.customer_id)
        if held[tenant] != catalog.version or job is not None:
            return None
        if await store.load_mark(conn, owner, days) != stretch.view.mark:
            return None
        await store.stage(conn, folded)
        changes = await store.find_changes(conn, owner, days)
        late = await _tell(conn, tenant, catalog, changes)
        await store.replace_usage(conn, owner, days)
        if changes.days:
            await note_customer(conn, tenant, owner.customer_id)
    return changes, late


async def _tell(conn: AsyncConnection, tenant: Tenant, catalog: Catalog, changes: Changes) -> int:
    """Lock the periods whose usage changes, and tell of those that were announced."""
    if not changes.days:
        return 0
    meters = [meter for of_type in catalog.meters.values() for meter in of_type]
    recurring = {meter.meter_id for meter in meters if meter.recurring}
    days = _of(tenant, changes.days)
    carried = _of(
        tenant, [(term, day) for term, one, day in changes.meter_days if one in recurring]
    )
    periods = await lock_touched(conn, days, carried)
    await announce_late(conn, periods)
    return sum(period.status is not PeriodStatus.OPEN for _, period in periods)


def _of(tenant: Tenant, days: Iterable[tuple[UUID, date]]) -> set[tuple[int, UUID, date]]:
    return {(tenant, term_id, day) for term_id, day in days}


def _snapshots(rebuilder: Rebuilder) -> Snapshots:
    return rebuilder.reader.snapshots


async def _look(conn: AsyncConnection, owner: Owner, days: DayPeriod) -> _View:
    return _View(await load_applied(conn), await store.load_mark(conn, owner, days))


async def _load_owner(
    conn: AsyncConnection, tenant: Tenant, customer_id: str
) -> tuple[Owner, Catalog]:
    refolding = await load_refolding(conn, tenant, customer_id)
    versions = await load_versions(conn, [tenant])
    catalog = replace(refolding.catalog, version=versions.get(tenant, 0))
    terms = [term.term_id for term in catalog.terms[customer_id]]
    return Owner(tenant, customer_id, terms), catalog
