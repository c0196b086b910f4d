"""What becomes of invoices is announced in the transaction that makes it true, once."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.domain.party import BillingEntity, ZeroInvoices
from services.invoicing.store import entities
from tally.invoicing.v1.events_pb2 import InvoiceFinalized
from tests.store.invoicing.steps import complete_one, finalized


async def announced(engine: AsyncEngine, tenant: Tenant) -> list[InvoiceFinalized]:
    """Return the invoices that were announced as finalized, in order."""
    query = text("SELECT payload FROM outbox WHERE subject = :subject ORDER BY id")
    async with begin(engine, tenant) as conn:
        rows = await conn.execute(query, {"subject": InvoiceFinalized.DESCRIPTOR.full_name})
        return [InvoiceFinalized.FromString(row.payload) for row in rows]


async def test_a_finalized_invoice_is_announced_once_and_whole(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    made = await finalized(engine, tenant, 100)
    await complete_one(engine, tenant, made.invoice_id)
    [fact] = await announced(engine, tenant)
    invoice = fact.invoice
    assert (UUID(invoice.invoice_id), invoice.number) == (made.invoice_id, made.number)
    assert [line.amount_minor for line in invoice.lines] == [100]


async def test_a_skipped_invoice_is_not_announced_as_finalized(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    async with begin(engine, tenant) as conn:
        entity = BillingEntity(zero_invoices=ZeroInvoices.SKIP)
        await entities.save_entity(conn, tenant, entity)
    await finalized(engine, tenant, 0)
    assert await announced(engine, tenant) == []
