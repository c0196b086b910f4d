"""Reading and writing payments, and what invoices ask for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Status
from services.invoicing.domain.payment import (
    Payment,
    PaymentNotFound,
    PaymentStatus,
    Receivable,
)
from services.invoicing.store.payment_schema import payments, receivables
from services.invoicing.store.schema import invoices
from services.invoicing.store.work import Reference


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


async def save_payment(conn: AsyncConnection, tenant: Tenant, payment: Payment) -> None:
    """Store a payment of a locked invoice, new or in place of what was known of it."""
    values = {
        "status": payment.status,
        "reference": payment.reference,
        "received_at": payment.received_at,
        "failure_code": payment.failure_code,
    }
    row = insert(payments).values(
        tenant=tenant,
        payment_id=payment.payment_id,
        invoice_id=payment.invoice_id,
        customer_id=payment.customer_id,
        currency=payment.amount.currency,
        amount_minor=payment.amount.amount_minor,
        provider=payment.provider,
        attempt=payment.attempt,
        created_at=payment.created_at,
        **values,
    )
    key = ["tenant", "payment_id"]
    await conn.execute(row.on_conflict_do_update(index_elements=key, set_=values))


async def load_payment(conn: AsyncConnection, tenant: Tenant, payment_id: UUID) -> Payment:
    """Return a payment.

    Raises:
        PaymentNotFound: the tenant has none.
    """
    query = with_invoice(tenant).where(payments.c.payment_id == payment_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise PaymentNotFound(f"no payment {payment_id}")
    return payment_of(row)


async def list_payments(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str,
    invoice_id: UUID | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, Payment]]:
    """Return payments older than the ordinal `before`, newest first, each with its ordinal."""
    query = with_invoice(tenant).order_by(payments.c.ordinal.desc()).limit(limit)
    if customer_id:
        query = query.where(payments.c.customer_id == customer_id)
    if invoice_id is not None:
        query = query.where(payments.c.invoice_id == invoice_id)
    if before is not None:
        query = query.where(payments.c.ordinal < before)
    return [(row.ordinal, payment_of(row)) for row in await conn.execute(query)]


def with_invoice(tenant: Tenant) -> Select[Any]:
    """Return the query of payments with the numbers of their invoices."""
    joined = payments.join(
        invoices,
        (invoices.c.tenant == payments.c.tenant) & (invoices.c.invoice_id == payments.c.invoice_id),
    )
    query = select(payments, invoices.c.number).select_from(joined)
    return query.where(payments.c.tenant == tenant)


def payment_of(row: Row[Any]) -> Payment:
    """Return the payment in a row of `with_invoice`."""
    return Payment(
        payment_id=row.payment_id,
        invoice_id=row.invoice_id,
        invoice_number=row.number or "",
        customer_id=row.customer_id,
        amount=Money(row.currency, row.amount_minor),
        status=PaymentStatus(row.status),
        provider=row.provider,
        reference=row.reference,
        received_at=row.received_at and row.received_at.astimezone(UTC),
        attempt=row.attempt,
        failure_code=row.failure_code,
        created_at=row.created_at.astimezone(UTC),
    )


FALLING = (~receivables.c.overdue) & (receivables.c.due_minor > 0)


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


def _falling(*columns: Any) -> Select[Any]:
    """Select of invoices that may fall overdue; one that is voided is owed no more."""
    joined = receivables.join(
        invoices,
        (invoices.c.tenant == receivables.c.tenant)
        & (invoices.c.invoice_id == receivables.c.invoice_id),
    )
    standing = invoices.c.status == Status.FINALIZED
    return select(*columns).select_from(joined).where(FALLING, standing)
