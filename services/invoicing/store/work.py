"""What is left to do, over all tenants: `conn` is the worker's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.invoice import Status
from services.invoicing.store.progressive import is_waiting
from services.invoicing.store.schema import invoices, late_periods
from services.invoicing.store.void_schema import voidings

Reference = tuple[Tenant, UUID]

DRAFT = invoices.c.status == Status.DRAFT
FINALIZING = invoices.c.status == Status.FINALIZING
STALE = and_(DRAFT, invoices.c.refreshed_revision < invoices.c.revision)


@dataclass(frozen=True, slots=True)
class Workload:
    """How many invoices wait for the finalizer or the drafter, and when the next one will."""

    due: int
    finalizing: int
    stale: int
    created: int  # All invoices ever: a mark.
    revisions: int  # Of all of them: a mark.
    closed: int
    late_versions: int  # A mark, and so is the next one.
    adjusted_versions: int
    next_due_at: datetime | None
    unreturned: int = 0  # Voided, and wallets have to take back what they paid.


async def find_finalizable(conn: AsyncConnection, *, now: datetime, limit: int) -> list[Reference]:
    """Return invoices that are due or stand half way, oldest due first.

    Those that credit a progressive one wait until that is closed.
    """
    ready = or_(and_(DRAFT, invoices.c.finalize_at <= now), FINALIZING)
    query = select(invoices.c.tenant, invoices.c.invoice_id).where(ready, ~is_waiting())
    order = query.order_by(invoices.c.finalize_at, invoices.c.ordinal).limit(limit)
    return [(Tenant(row.tenant), row.invoice_id) for row in await conn.execute(order)]


async def find_stale(conn: AsyncConnection, *, now: datetime, limit: int) -> list[Reference]:
    """Return drafts that wait for their grace and do not show their newest revision."""
    waiting = and_(STALE, invoices.c.finalize_at > now)
    query = select(invoices.c.tenant, invoices.c.invoice_id).where(waiting)
    order = query.order_by(invoices.c.ordinal).limit(limit)
    return [(Tenant(row.tenant), row.invoice_id) for row in await conn.execute(order)]


async def load_workload(conn: AsyncConnection, *, now: datetime) -> Workload:
    """Return what is left to do at `now`."""
    later = invoices.c.finalize_at > now
    query = select(
        func.count().filter(DRAFT, invoices.c.finalize_at <= now).label("due"),
        func.count().filter(FINALIZING).label("finalizing"),
        func.count().filter(STALE, later).label("stale"),
        func.count().label("created"),
        func.coalesce(func.sum(invoices.c.revision), 0).label("revisions"),
        func.count().filter(invoices.c.finalized_at.is_not(None)).label("closed"),
        func.min(case((and_(DRAFT, later), invoices.c.finalize_at))).label("next_due_at"),
    ).select_from(invoices)
    row = (await conn.execute(query)).one()
    late = select(
        func.coalesce(func.sum(late_periods.c.late_version), 0).label("changed"),
        func.coalesce(func.sum(late_periods.c.adjusted_version), 0).label("adjusted"),
    )
    versions = (await conn.execute(late)).one()
    unreturned = select(func.count()).select_from(voidings).filter_by(credits_returned_at=None)
    return Workload(
        due=row.due,
        finalizing=row.finalizing,
        stale=row.stale,
        created=row.created,
        revisions=int(row.revisions),
        closed=row.closed,
        late_versions=int(versions.changed),
        adjusted_versions=int(versions.adjusted),
        next_due_at=row.next_due_at and row.next_due_at.astimezone(UTC),
        unreturned=int((await conn.execute(unreturned)).scalar_one()),
    )
