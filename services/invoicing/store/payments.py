"""Reading and writing payments, and what invoices ask for."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from services.invoicing.domain.payment import (
    Payment,
    PaymentNotFound,
    PaymentStatus,
)
from services.invoicing.store.payment_schema import payments
from services.invoicing.store.schema import invoices


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
