"""Reading and writing what invoices ask for, and what became of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.invoice import Status
from services.invoicing.domain.payment import InvoicePaymentStatus, Receivable
from services.invoicing.store.payment_schema import receivables
from services.invoicing.store.schema import invoices
from services.invoicing.store.work import Reference

OF_INVOICE = (receivables.c.tenant == invoices.c.tenant) & (
    receivables.c.invoice_id == invoices.c.invoice_id
)
RECEIVABLE = [column.label(f"receivable_{column.name}") for column in receivables.c]
FALLING = (~receivables.c.overdue) & (receivables.c.due_minor > 0)


def receivable_of(row: Row[Any]) -> Receivable | None:
    """Return what an invoice asks for, of a row with the columns RECEIVABLE; None: nothing yet."""
    if row.receivable_invoice_id is None:
        return None
    return Receivable(
        invoice_id=row.receivable_invoice_id,
        total_minor=row.receivable_total_minor,
        paid_minor=row.receivable_paid_minor,
        offset_minor=row.receivable_offset_minor,
        charging_minor=row.receivable_charging_minor,
        last_failed=row.receivable_last_failed,
        overdue_at=row.receivable_overdue_at and row.receivable_overdue_at.astimezone(UTC),
        overdue=row.receivable_overdue,
        disputed=row.receivable_disputed,
        attempts=row.receivable_attempts,
        charge_at=row.receivable_charge_at and row.receivable_charge_at.astimezone(UTC),
        dunning_step=row.receivable_dunning_step,
        dun_at=row.receivable_dun_at and row.receivable_dun_at.astimezone(UTC),
    )


def asking_for(status: InvoicePaymentStatus | None, *, overdue: bool) -> list[ColumnElement[bool]]:
    """Return conditions on invoices outer joined with what they ask for; None does not filter."""
    conditions: list[ColumnElement[bool]] = []
    if status is InvoicePaymentStatus.NONE:
        conditions.append(receivables.c.invoice_id.is_(None))
    elif status is not None:
        conditions.append(receivables.c.status == status)
    if overdue:
        conditions += [receivables.c.overdue, receivables.c.due_minor > 0]
    return conditions


async def save_receivables(
    conn: AsyncConnection, tenant: Tenant, changed: Collection[Receivable]
) -> None:
    """Store what locked invoices ask for, in place of what was known of it."""
    if not changed:
        return
    row = insert(receivables)
    fresh = {
        column.name: row.excluded[column.name]
        for column in receivables.c
        if not column.primary_key and column.computed is None
    }
    await conn.execute(
        row.on_conflict_do_update(index_elements=["tenant", "invoice_id"], set_=fresh),
        [{"tenant": tenant, "status": one.status, **asdict(one)} for one in changed],
    )


async def find_overdue(conn: AsyncConnection, *, now: datetime, limit: int) -> list[Reference]:
    """Return invoices whose due date has passed and that are not known as overdue, oldest first.

    Over all tenants: `conn` is the worker's.
    """
    query = (
        _falling(receivables.c.tenant, receivables.c.invoice_id)
        .where(receivables.c.overdue_at <= now)
        .order_by(receivables.c.overdue_at, receivables.c.invoice_id)
        .limit(limit)
    )
    return [(Tenant(row.tenant), row.invoice_id) for row in await conn.execute(query)]


async def count_overdue(conn: AsyncConnection, *, now: datetime) -> tuple[int, datetime | None]:
    """Return how many invoices `find_overdue` would find at `now`, and when the next one falls."""
    at = receivables.c.overdue_at
    row = (
        await conn.execute(
            _falling(
                func.count().filter(at <= now).label("fallen"),
                func.min(at).filter(at > now).label("next_at"),
            )
        )
    ).one()
    return row.fallen, row.next_at and row.next_at.astimezone(UTC)


async def find_chargeable(conn: AsyncConnection, *, now: datetime, limit: int) -> list[Reference]:
    """Return invoices that are to be charged by now, oldest first, over all tenants."""
    columns = (receivables.c.tenant, receivables.c.invoice_id)
    query = _charging(*columns).where(receivables.c.charge_at <= now)
    order = query.order_by(receivables.c.charge_at, receivables.c.invoice_id).limit(limit)
    return [(Tenant(row.tenant), row.invoice_id) for row in await conn.execute(order)]


async def count_chargeable(conn: AsyncConnection, *, now: datetime) -> tuple[int, datetime | None]:
    """Return how many invoices are to be charged by `now`, and when the next one is."""
    at = receivables.c.charge_at
    columns = (
        func.count().filter(at <= now).label("due"),
        func.min(at).filter(at > now).label("next_at"),
    )
    row = (await conn.execute(_charging(*columns))).one()
    return row.due, row.next_at and row.next_at.astimezone(UTC)


def _charging(*columns: Any) -> Select[Any]:
    """Select of invoices that will be charged."""
    asking = invoices.c.status.in_((Status.FINALIZED, Status.OPEN))
    scheduled = receivables.c.charge_at.is_not(None)
    payable = receivables.c.due_minor > receivables.c.charging_minor
    joined = receivables.join(invoices, OF_INVOICE)
    return select(*columns).select_from(joined).where(asking, scheduled, payable)


def _falling(*columns: Any) -> Select[Any]:
    """Select of invoices that may fall overdue; one that is voided is owed no more."""
    joined = receivables.join(invoices, OF_INVOICE)
    standing = invoices.c.status == Status.FINALIZED
    return select(*columns).select_from(joined).where(FALLING, standing)
