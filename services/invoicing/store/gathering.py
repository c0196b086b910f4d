"""Which late usage is to be asked for, and which answers of rating are undecided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Status
from services.invoicing.store.invoices import CLOSE
from services.invoicing.store.late import Adjustment, adjustment_of
from services.invoicing.store.schema import adjustments, invoice_periods, invoices, late_periods

Late = tuple[Tenant, str, str]  # Customer and currency.

UNDECIDED = and_(adjustments.c.outcome.is_(None), adjustments.c.invoice_id.is_(None))


def ready() -> ColumnElement[bool]:
    """Return whether an adjustment can be decided: all that bills its period is finished.

    What only a voided invoice billed waits for one that bills it again.
    """
    unfinished = (
        select(invoice_periods.c.tenant)
        .join(
            invoices,
            and_(
                invoices.c.tenant == invoice_periods.c.tenant,
                invoices.c.invoice_id == invoice_periods.c.invoice_id,
            ),
        )
        .where(
            invoice_periods.c.tenant == adjustments.c.tenant,
            invoice_periods.c.period_id == adjustments.c.period_id,
            invoice_periods.c.live,
            invoices.c.status.in_([Status.DRAFT, Status.FINALIZING]),
        )
    )
    billing = select(invoice_periods.c.tenant).where(
        invoice_periods.c.tenant == adjustments.c.tenant,
        invoice_periods.c.period_id == adjustments.c.period_id,
        invoice_periods.c.purpose == CLOSE,
    )
    voided = and_(exists(billing), ~exists(billing.where(invoice_periods.c.live)))
    return and_(UNDECIDED, or_(adjustments.c.rated.is_(None), ~or_(exists(unfinished), voided)))


async def find_late(conn: AsyncConnection, *, now: datetime, limit: int) -> list[Late]:
    """Return customers with late usage that is due or undecided, over all tenants."""
    of_periods = (late_periods.c.tenant, late_periods.c.customer_id, late_periods.c.currency)
    due = select(*of_periods).where(late_periods.c.due_at <= now)
    of_adjustments = (adjustments.c.tenant, adjustments.c.customer_id, adjustments.c.currency)
    found = due.union(select(*of_adjustments).where(ready())).limit(limit)
    return [(Tenant(tenant), one, other) for tenant, one, other in await conn.execute(found)]


async def count_late(conn: AsyncConnection, *, now: datetime) -> tuple[int, datetime | None]:
    """Return how much is due or undecided, and when the next is due, over all tenants."""
    due = late_periods.c.due_at
    query = select(func.count().filter(due <= now), func.min(due).filter(due > now))
    waiting, next_due_at = (await conn.execute(query.where(due.is_not(None)))).one()
    undecided = select(func.count()).select_from(adjustments).where(ready())
    return waiting + (await conn.execute(undecided)).scalar_one(), next_due_at


async def lock_due(
    conn: AsyncConnection, of_customer: dict[str, Any], *, now: datetime
) -> Sequence[Row[Any]]:
    """Return a customer's late periods that are due, locked in id order."""
    query = select(late_periods).filter_by(**of_customer).where(late_periods.c.due_at <= now)
    return (await conn.execute(query.order_by(late_periods.c.period_id).with_for_update())).all()


async def mark_gathered(
    conn: AsyncConnection,
    tenant: Tenant,
    due: Collection[UUID],
    fresh: Collection[UUID],
    *,
    now: datetime,
) -> None:
    """Note that locked late periods are due no more, and that the `fresh` ones were gathered."""
    of_tenant = update(late_periods).filter_by(tenant=tenant)
    await conn.execute(of_tenant.where(among(late_periods.c.period_id, due)).values(due_at=None))
    await conn.execute(
        of_tenant.where(among(late_periods.c.period_id, fresh)).values(gathered_at=now)
    )


async def load_undecided(conn: AsyncConnection, of_customer: dict[str, Any]) -> list[Adjustment]:
    """Return the adjustments of a customer that no invoice has claimed and that are ready."""
    query = select(adjustments).filter_by(**of_customer).where(ready())
    ordered = query.order_by(adjustments.c.period_id, adjustments.c.sequence)
    return [adjustment_of(row) for row in await conn.execute(ordered)]


async def lock_late(conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]) -> None:
    """Lock late periods in id order: before the invoices that their adjustments are given back on.

    They stay locked to the end of the transaction.
    """
    which = among(late_periods.c.period_id, period_ids)
    late = select(late_periods.c.period_id).filter_by(tenant=tenant).where(which)
    await conn.execute(late.order_by(late_periods.c.period_id).with_for_update())


async def load_still_undecided(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> set[tuple[UUID, int]]:
    """Return which adjustments of locked late periods no one has decided or claimed."""
    of_periods = select(adjustments.c.period_id, adjustments.c.sequence).filter_by(tenant=tenant)
    undecided = of_periods.where(among(adjustments.c.period_id, period_ids), UNDECIDED)
    return {(row.period_id, row.sequence) for row in await conn.execute(undecided)}
