"""Attributing a customer's past events again, after a command changed where they count."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin_worker
from libs.errors import Refused, Unavailable
from libs.partition import partition_of
from libs.period import local_midnight
from libs.telemetry import tracer
from libs.tenant import Tenant
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.folding import Folded, fold
from services.rating.domain.high_cardinality import CELLS_PER_DAY_MAX, condense
from services.rating.domain.period import BillingPeriod
from services.rating.operations.adding import add_cells
from services.rating.operations.folding import Catalogs, announce_late
from services.rating.operations.log import (
    LOG_TRIMMED,
    Log,
    applied_slices,
    count_partitions,
    newest_applied,
)
from services.rating.store import catalog as catalog_store
from services.rating.store import reattributions as store
from services.rating.store.ambiguous import count_ambiguous, mark_valueless
from services.rating.store.applied import load_applied
from services.rating.store.cells import count_unattributed
from services.rating.store.reattributions import Job, first_days_of
from services.rating.store.watched import note_customer

spans = tracer(__name__)


async def reattribute_from(
    conn: AsyncConnection,
    tenant: Tenant,
    customer_id: str,
    from_at: datetime,
    *,
    gone: Iterable[UUID] = (),
) -> None:
    """Have a customer's events at and after `from_at` counted again, if any was folded.

    Called by the command that changed the catalog, in its transaction, after it has written the
    change and while it holds the catalog: no fold of the tenant is under way. What is stored of
    terms that are `gone` vanishes.
    """
    terms = await _load_terms(conn, tenant, customer_id)
    pending = await store.find_job(conn, tenant, customer_id)
    if pending is not None:  # Its cells are empty still: start over from the earlier day.
        from_at = min(from_at, pending.from_at)
    elif not await store.has_usage(
        conn, tenant, customer_id, {*gone, *(term.term_id for term in terms)}, from_at
    ):
        return
    first_days = {**dict.fromkeys(gone, date.min), **first_days_of(terms, from_at)}
    await store.lock_usage_periods(conn, tenant, first_days)
    await store.empty_cells(
        conn,
        tenant,
        customer_id,
        first_days,
        counts_from=from_at.astimezone(UTC).date(),
    )
    applied = await load_applied(conn)
    await store.save_job(conn, tenant, customer_id, from_at=from_at, applied=applied)


async def check_not_reattributing(
    conn: AsyncConnection, tenant: Tenant, periods: Iterable[BillingPeriod]
) -> None:
    """Check that the usage of locked periods is whole.

    Raises:
        Unavailable: that of one of them is being computed again.
    """
    found = await store.find_jobs(conn, {(tenant, period.customer_id) for period in periods})
    for _, customer_id in found:
        raise Unavailable(f"the usage of {customer_id} is being attributed again")


class LogGone(Exception):
    """The log does not hold any more what a job has to read: it cannot be finished."""

    def __init__(self, job: Job, said: str) -> None:
        super().__init__(f"the usage of {job.customer_id} from {job.from_at.isoformat()}: {said}")
        self.job = job


async def reattribute_next(
    worker: AsyncEngine,
    log: Log,
    *,
    but: Collection[UUID] = (),
    cells_per_day_max: int = CELLS_PER_DAY_MAX,
) -> bool:
    """Finish some job, none of those whose ids are in `but`; return whether there was one.

    Raises:
        LogGone: the log was trimmed; the job stays, and its customer's periods are not billed.
        Unavailable: the log or the database is away; the job waits.
    """
    async with begin_worker(worker) as conn:
        job = await store.find_any_job(conn, but)
    if job is None:
        return False
    try:
        await reattribute(worker, log, job, cells_per_day_max=cells_per_day_max)
    except Refused as refused:
        if refused.reason != LOG_TRIMMED:
            raise
        raise LogGone(job, str(refused)) from refused
    return True


async def reattribute(worker: AsyncEngine, log: Log, job: Job, *, cells_per_day_max: int) -> None:
    """Finish `job`, unless something comes between that makes it wait for another try.

    Raises:
        Unavailable: the log or the database is away; the job waits.
    """
    with spans.start_as_current_span("attribute again"):
        catalogs = Catalogs(cells_per_day_max=cells_per_day_max)
        await catalogs.load_customers(worker, {(job.tenant, job.customer_id)})
        catalog = catalogs.view()[job.tenant]
        folded = await _fold_again(log, job, catalog, cells_per_day_max)
        await _finish(worker, catalogs, job, folded)


async def _fold_again(log: Log, job: Job, catalog: Catalog, cells_max: int) -> Folded:
    """Fold the customer's events that were folded before the job was written."""
    terms = catalog.terms[job.customer_id]
    partitions = await count_partitions(log)
    partition = partition_of(job.tenant, job.customer_id, partitions)
    folded = Folded()
    pages = log.events(
        job.tenant,
        job.customer_id,
        start=_window_start(job, terms),
        # Later corrections are folded after the job was written.
        corrected_through=newest_applied(job.applied, partition),
    )
    async for events in pages:
        slices = applied_slices(events, job.applied, partition)
        await asyncio.to_thread(fold, slices, {job.tenant: catalog}, into=folded)
        condense(folded.cells, cells_max)  # So that memory holds no more either.
    first_days = first_days_of(terms, job.from_at)
    for key in [key for key in folded.cells if key.day < first_days[key.term_id]]:
        del folded.cells[key]
    first_day = job.from_at.date()
    folded.drop_counts(lambda which: which.day < first_day)
    return folded


async def _finish(worker: AsyncEngine, catalogs: Catalogs, job: Job, folded: Folded) -> None:
    """Add what was folded to the cells, and tell of announced periods that it may change."""
    catalog = catalogs.view()[job.tenant]
    async with begin_worker(worker) as conn:
        held = await catalog_store.hold_versions(conn, [job.tenant])
        if held[job.tenant] != catalog.version:
            return  # Another command came between: the job is looked at anew.
        current = await store.find_job(conn, job.tenant, job.customer_id)
        if current is None or current.job_id != job.job_id:
            return  # So did a correction.
        first_days = first_days_of(catalog.terms[job.customer_id], job.from_at)
        periods = await store.lock_usage_periods(conn, job.tenant, first_days)
        await announce_late(conn, [(job.tenant, period) for period in periods])
        await add_cells(conn, folded.cells, cells_max=catalogs.cells_per_day_max)
        await count_unattributed(conn, folded.unattributed)
        await count_ambiguous(conn, folded.ambiguous)
        await mark_valueless(conn, folded.valueless)
        await note_customer(conn, job.tenant, job.customer_id)
        if not await store.finish_job(conn, job):
            raise Unavailable("another process has finished the job")


async def _load_terms(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> Sequence[Term]:
    found = await catalog_store.load_terms(conn, [(tenant, customer_id)])
    return found[tenant, customer_id]


def _window_start(job: Job, terms: Sequence[Term]) -> datetime:
    """Return the first instant of the days that are computed again, in whatever zone."""
    first_days = first_days_of(terms, job.from_at)
    midnights = [local_midnight(first_days[term.term_id], term.zone) for term in terms]
    return min([job.from_at.replace(hour=0, minute=0, second=0, microsecond=0), *midnights])
