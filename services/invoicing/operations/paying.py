"""Payments of invoices: recorded by hand, and what follows from money that is there.

Whoever changes a payment, or what an invoice asks for, locks the invoice first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox, requests
from libs.db import begin
from libs.money import Money
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.domain.payment import (
    MANUAL,
    CurrencyMismatch,
    InvoiceNotPayable,
    Payment,
    PaymentStatus,
    Receivable,
    pay,
)
from services.invoicing.operations.finalizing import close_paid
from services.invoicing.operations.messages import invoice_message
from services.invoicing.operations.payment_messages import payment_message
from services.invoicing.store import invoices, parts, receivables
from services.invoicing.store import payments as store
from tally.invoicing.v1 import payment_service_pb2 as pb
from tally.invoicing.v1.events_pb2 import (
    InvoiceOverdue,
    InvoicePaid,
    PaymentFailed,
    PaymentSucceeded,
)

PAYABLE = (Status.FINALIZED, Status.OPEN)


@dataclass(frozen=True, slots=True)
class Received:
    """Money that somebody received for an invoice; `received_at` None: now."""

    invoice_id: UUID
    amount: Money
    reference: str
    received_at: datetime | None


async def record_payment(
    engine: AsyncEngine, tenant: Tenant, request: Request, received: Received, *, now: datetime
) -> pb.RecordPaymentResponse:
    """Store a manual payment, and announce it, and the invoice if it is paid by it.

    Raises:
        InvoiceNotFound: there is none.
        InvoiceNotPayable: it is neither finalized nor open.
        CurrencyMismatch: it is in another currency.
        PaymentExceedsDue: less is due.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.RecordPaymentResponse)
        if earlier is not None:
            return earlier
        payment, due_minor = await receive(conn, tenant, received, now=now)
        answer = pb.RecordPaymentResponse(payment=payment_message(payment), due_minor=due_minor)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def receive(
    conn: AsyncConnection, tenant: Tenant, received: Received, *, now: datetime
) -> tuple[Payment, int]:
    """Store a manual payment, announce it, and return it and what is due still.

    Raises:
        what `record_payment` does.
    """
    invoice, asked = await lock_payable(conn, tenant, received.invoice_id)
    if received.amount.currency != invoice.currency:
        raise CurrencyMismatch(
            f"{received.amount.currency} cannot pay an invoice in {invoice.currency}"
        )
    payment = Payment(
        payment_id=uuid4(),
        invoice_id=invoice.invoice_id,
        invoice_number=invoice.number,
        customer_id=invoice.customer_id,
        amount=received.amount,
        status=PaymentStatus.SUCCEEDED,
        provider=MANUAL,
        reference=received.reference,
        received_at=received.received_at or now,
        attempt=0,
        failure_code="",
        created_at=now,
    )
    paid = pay(asked, received.amount.amount_minor)
    await store.save_payment(conn, tenant, payment)
    await receivables.save_receivables(conn, tenant, [paid])
    payment = await announce_payment(conn, tenant, payment, asked, PaymentSucceeded, now=now)
    return payment, paid.due_minor


async def lock_payable(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID
) -> tuple[Invoice, Receivable]:
    """Lock an invoice, and return it and what it asks for.

    Raises:
        InvoiceNotFound: there is none.
        InvoiceNotPayable: it is neither finalized nor open.
    """
    invoice = (await invoices.lock_invoices(conn, tenant, [invoice_id]))[invoice_id]
    if invoice.status not in PAYABLE:
        raise InvoiceNotPayable(f"the invoice {invoice.number or invoice_id} is {invoice.status}")
    return invoice, invoice.asks_for


async def announce_payment(
    conn: AsyncConnection,
    tenant: Tenant,
    payment: Payment,
    before: Receivable,
    fact: type[PaymentSucceeded] | type[PaymentFailed],
    *,
    now: datetime,
) -> Payment:
    """Announce a stored payment of a locked invoice, that asked for `before` until then.

    The last of what was due closes an invoice that waited for it, and is announced too. Returns
    the payment as it is then.
    """
    invoice_id = payment.invoice_id
    invoice = (await invoices.load_invoices(conn, tenant, [invoice_id]))[invoice_id]
    paid = before.due_minor > 0 and invoice.due_minor == 0
    if paid and await close_paid(conn, tenant, [invoice_id], now=now):
        invoice = (await invoices.load_invoices(conn, tenant, [invoice_id]))[invoice_id]
        payment = replace(payment, invoice_number=invoice.number)
    told = fact(payment=payment_message(payment), invoice=invoice_message(invoice))
    await outbox.append(conn, tenant, told)
    if paid:
        [whole] = await parts.with_parts(conn, tenant, [invoice])
        await outbox.append(conn, tenant, InvoicePaid(invoice=invoice_message(whole)))
    return payment


async def mark_overdue(
    engine: AsyncEngine, tenant: Tenant, invoice_ids: Sequence[UUID], *, now: datetime
) -> bool:
    """Set the overdue flag of invoices whose due date has passed, and announce them."""
    async with begin(engine, tenant) as conn:
        locked = await invoices.lock_invoices(conn, tenant, invoice_ids)
        fallen: list[Receivable] = []
        for invoice in locked.values():
            one = invoice.receivable
            standing = invoice.status is Status.FINALIZED
            if one and standing and one.falls_overdue(now):
                fallen.append(replace(one, overdue=True, dun_at=now))  # Looked at by dunning.
        await receivables.save_receivables(conn, tenant, fallen)
        facts: list[tuple[Tenant, Message, dict[str, str]]] = [
            (
                tenant,
                InvoiceOverdue(
                    invoice=invoice_message(replace(locked[one.invoice_id], receivable=one))
                ),
                locked[one.invoice_id].trace_headers,
            )
            for one in fallen
        ]
        await outbox.append_all(conn, facts)
    return True


async def get_payment(engine: AsyncEngine, tenant: Tenant, payment_id: UUID) -> Payment:
    """Return a payment.

    Raises:
        PaymentNotFound: the tenant has none.
    """
    async with begin(engine, tenant) as conn:
        return await store.load_payment(conn, tenant, payment_id)


async def list_payments(
    engine: AsyncEngine,
    tenant: Tenant,
    *,
    customer_id: str,
    invoice_id: UUID | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, Payment]]:
    """Return payments, newest first, each with its ordinal to page by."""
    async with begin(engine, tenant) as conn:
        return await store.list_payments(
            conn,
            tenant,
            customer_id=customer_id,
            invoice_id=invoice_id,
            before=before,
            limit=limit,
        )
