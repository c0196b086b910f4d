"""Reading and writing payments, and what invoices ask for."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from services.invoicing.domain.payment import (
    Payment,
    PaymentMethod,
    PaymentNotFound,
    PaymentStatus,
)
from services.invoicing.store.payment_schema import payments
from services.invoicing.store.schema import invoices
from services.invoicing.store.work import Reference


async def save_payment(conn: AsyncConnection, tenant: Tenant, payment: Payment) -> None:
    """Store a payment of a locked invoice, new or in place of what was known of it."""
    values = {
        "status": payment.status,
        "reference": payment.reference,
        "received_at": payment.received_at,
        "failure_code": payment.failure_code,
        "disputed": payment.disputed,
        "dispute_told_at": payment.dispute_told_at,
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
        provider_customer_id=payment.method.provider_customer_id if payment.method else "",
        provider_method_id=payment.method.provider_method_id if payment.method else "",
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
        method=method_of(row),
        disputed=row.disputed,
        dispute_told_at=row.dispute_told_at and row.dispute_told_at.astimezone(UTC),
    )


def method_of(row: Row[Any]) -> PaymentMethod | None:
    if row.attempt == 0:
        return None
    return PaymentMethod(
        row.customer_id, row.provider, row.provider_customer_id, row.provider_method_id
    )


async def has_disputed(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID) -> bool:
    """Tell whether a payment of an invoice is disputed."""
    query = select(payments.c.payment_id).filter_by(
        tenant=tenant, invoice_id=invoice_id, disputed=True
    )
    return (await conn.execute(query.limit(1))).first() is not None


UNANSWERED = (payments.c.status == PaymentStatus.PROCESSING) & (payments.c.reference == "")


async def find_unanswered(conn: AsyncConnection, *, limit: int) -> list[Reference]:
    """Return payments whose provider has said nothing yet, over all tenants."""
    query = select(payments.c.tenant, payments.c.payment_id).where(UNANSWERED)
    order = query.order_by(payments.c.ordinal).limit(limit)
    return [(Tenant(row.tenant), row.payment_id) for row in await conn.execute(order)]


async def count_unanswered(conn: AsyncConnection) -> int:
    """Return how many payments `find_unanswered` would find."""
    counted = select(func.count()).select_from(payments).where(UNANSWERED)
    return int((await conn.execute(counted)).scalar_one())


async def find_by_reference(
    conn: AsyncConnection, provider: str, reference: str
) -> Reference | None:
    """Return the payment that a provider knows by `reference`, of any tenant."""
    query = select(payments.c.tenant, payments.c.payment_id)
    found = query.filter_by(provider=provider, reference=reference)
    row = (await conn.execute(found.order_by(payments.c.ordinal).limit(1))).first()
    return None if row is None else (Tenant(row.tenant), row.payment_id)
