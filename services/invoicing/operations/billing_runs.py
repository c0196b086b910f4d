"""Billing runs: all of a tenant's drafts that are due by an instant, finalized in one go.

What is finalized already stays, so a run that broke off is begun again, and two at once do each
other's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice
from services.invoicing.store import invoices


async def find_billable(
    engine: AsyncEngine, tenant: Tenant, *, as_of: datetime, customer_id: str
) -> list[UUID]:
    """Return the drafts that are due by `as_of`, and what stands half way, oldest due first."""
    async with begin(engine, tenant) as conn:
        return await invoices.find_billable(conn, tenant, as_of=as_of, customer_id=customer_id)


async def make_due(
    engine: AsyncEngine, tenant: Tenant, invoice_ids: Sequence[UUID], *, now: datetime
) -> None:
    """End the grace of those of the invoices that are drafts still."""
    async with begin(engine, tenant) as conn:
        await invoices.lock_invoices(conn, tenant, invoice_ids)
        await invoices.make_due(conn, tenant, invoice_ids, now=now)


async def load(engine: AsyncEngine, tenant: Tenant, invoice_ids: Sequence[UUID]) -> list[Invoice]:
    """Return invoices without their lines, in this order."""
    async with begin(engine, tenant) as conn:
        found = await invoices.load_invoices(conn, tenant, invoice_ids)
    return [found[one] for one in invoice_ids]
