"""Payments recorded by hand: what they leave due, and what they announce."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, begin_worker
from libs.money import Money
from libs.outbox import outbox
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.domain.payment import (
    CurrencyMismatch,
    InvoiceNotPayable,
    InvoicePaymentStatus,
    PaymentExceedsDue,
)
from services.invoicing.operations import paying, reading
from services.invoicing.operations.paying import Received
from services.invoicing.store.receivables import count_overdue, find_overdue
from tally.invoicing.v1.payment_service_pb2 import RecordPaymentResponse
from tests.store.invoicing.steps import NOW, announce, finalized, newest
from tests.store.invoicing.test_one_off import bill, purchase
from tests.unit.invoicing.samples import amount_fee, rated


async def record(
    engine: AsyncEngine,
    tenant: Tenant,
    invoice_id: UUID,
    amount_minor: int,
    *,
    currency: str = "USD",
    request_id: UUID | None = None,
) -> RecordPaymentResponse:
    request = Request("RecordPayment", request_id or uuid4(), b"digest")
    received = Received(invoice_id, Money(currency, amount_minor), "wire 7", None)
    return await paying.record_payment(engine, tenant, request, received, now=NOW)


async def subjects(engine: AsyncEngine, tenant: Tenant) -> list[str]:
    """Return the facts about payment that were announced, in their order."""
    query = select(outbox.c.subject).filter_by(tenant=tenant).order_by(outbox.c.id)
    async with begin(engine, tenant) as conn:
        names = [subject.rpartition(".")[2] for subject in await conn.scalars(query)]
    return [name for name in names if "Paid" in name or "Payment" in name or "Overdue" in name]


async def read(engine: AsyncEngine, tenant: Tenant, invoice_id: UUID) -> Invoice:
    return await reading.get_invoice(engine, tenant, invoice_id=invoice_id)


async def test_an_invoice_is_paid_in_parts_once_each_and_never_above_what_is_due(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice = await finalized(engine, tenant, 100)
    assert (invoice.payment_status, invoice.due_minor) == (InvoicePaymentStatus.PENDING, 100)
    again = uuid4()
    first = await record(engine, tenant, invoice.invoice_id, 40, request_id=again)
    assert await record(engine, tenant, invoice.invoice_id, 40, request_id=again) == first
    assert first.due_minor == 60
    with pytest.raises(PaymentExceedsDue, match="60 due; 61"):
        await record(engine, tenant, invoice.invoice_id, 61)
    with pytest.raises(CurrencyMismatch, match="EUR"):
        await record(engine, tenant, invoice.invoice_id, 1, currency="EUR")
    part = await read(engine, tenant, invoice.invoice_id)
    assert part.payment_status is InvoicePaymentStatus.PARTIALLY_PAID
    await record(engine, tenant, invoice.invoice_id, 60)
    paid = await read(engine, tenant, invoice.invoice_id)
    assert (paid.payment_status, paid.due_minor) == (InvoicePaymentStatus.SUCCEEDED, 0)
    assert await subjects(engine, tenant) == ["PaymentSucceeded"] * 2 + ["InvoicePaid"]
    with pytest.raises(PaymentExceedsDue, match="0 due"):
        await record(engine, tenant, invoice.invoice_id, 1)


async def test_payments_that_come_at_once_never_pay_more_than_is_due(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice_id = (await finalized(engine, tenant, 100)).invoice_id
    paying = (record(engine, tenant, invoice_id, 60) for _ in range(3))
    told = await asyncio.gather(*paying, return_exceptions=True)
    assert sorted(type(one).__name__ for one in told) == [
        "PaymentExceedsDue",
        "PaymentExceedsDue",
        "RecordPaymentResponse",
    ]
    assert (await read(engine, tenant, invoice_id)).due_minor == 40


async def test_a_draft_is_not_paid(engine: AsyncEngine, tenant: Tenant) -> None:
    await announce(engine, tenant, [rated([amount_fee(100)])])
    draft = await newest(engine, tenant)
    assert draft.payment_status is InvoicePaymentStatus.NONE
    with pytest.raises(InvoiceNotPayable, match="draft"):
        await record(engine, tenant, draft.invoice_id, 1)


async def test_an_open_invoice_gets_its_number_with_the_last_of_its_money(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    waiting = await bill(engine, tenant, purchase(requires_payment=True))
    await record(engine, tenant, waiting.invoice_id, 15_000)
    assert (await read(engine, tenant, waiting.invoice_id)).status is Status.OPEN
    last = await record(engine, tenant, waiting.invoice_id, 5_000)
    closed = await read(engine, tenant, waiting.invoice_id)
    assert (closed.status, closed.payment_status) == (
        Status.FINALIZED,
        InvoicePaymentStatus.SUCCEEDED,
    )
    assert last.payment.invoice_number == closed.number != ""
    assert (await subjects(engine, tenant))[-1] == "InvoicePaid"


async def test_an_invoice_falls_overdue_once_and_only_while_something_is_due(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    invoice = await finalized(engine, tenant, 100)
    settled = await finalized(engine, tenant, 100)
    await record(engine, tenant, settled.invoice_id, 100)
    assert invoice.receivable and invoice.receivable.overdue_at
    later = invoice.receivable.overdue_at + timedelta(seconds=1)
    async with begin_worker(worker) as conn:
        found = await find_overdue(conn, now=later, limit=100)
        assert (await count_overdue(conn, now=NOW))[1] == invoice.receivable.overdue_at
    assert [one for of, one in found if of == tenant] == [invoice.invoice_id]
    both = [invoice.invoice_id, settled.invoice_id]
    for _ in range(2):
        await paying.mark_overdue(engine, tenant, both, now=later)
    assert (await subjects(engine, tenant)).count("InvoiceOverdue") == 1
    found_overdue = await reading.list_invoices(
        engine, tenant, customer_id="", status=None, before=None, limit=9, overdue=True
    )
    assert [one.invoice_id for _, one in found_overdue] == [invoice.invoice_id]
