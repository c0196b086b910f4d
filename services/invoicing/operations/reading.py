"""Invoices as callers see them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.store import invoices, parts


async def get_invoice(
    engine: AsyncEngine, tenant: Tenant, *, invoice_id: UUID | None = None, number: str = ""
) -> Invoice:
    """Return an invoice with its lines, by its id or its number.

    Raises:
        InvoiceNotFound: the tenant has no such invoice.
    """
    async with begin(engine, tenant) as conn:
        which = invoice_id or await invoices.find_invoice_id(conn, tenant, number)
        found = await invoices.load_invoices(conn, tenant, [which])
        [whole] = await parts.with_parts(conn, tenant, found.values())
        return whole


async def list_invoices(
    engine: AsyncEngine,
    tenant: Tenant,
    *,
    customer_id: str,
    status: Status | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, Invoice]]:
    """Return invoices without lines, newest first, each with its ordinal to page by."""
    async with begin(engine, tenant) as conn:
        return await invoices.list_invoices(
            conn, tenant, customer_id=customer_id, status=status, before=before, limit=limit
        )
