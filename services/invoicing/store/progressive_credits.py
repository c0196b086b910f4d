"""Reading what invoices take off, as documents show it."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.invoice import ProgressiveCredit
from services.invoicing.store.schema import invoices, progressive_credits


async def load_shown(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[ProgressiveCredit]]:
    """Return the progressive invoices that each of the invoices credits, with their numbers."""
    found: dict[UUID, list[ProgressiveCredit]] = {}
    if not invoice_ids:
        return found
    of_credited = and_(
        invoices.c.tenant == progressive_credits.c.tenant,
        invoices.c.invoice_id == progressive_credits.c.credited_invoice_id,
    )
    query = (
        select(progressive_credits, invoices.c.number)
        .join(invoices, of_credited)
        .where(
            progressive_credits.c.tenant == tenant,
            among(progressive_credits.c.invoice_id, invoice_ids),
        )
        .order_by(progressive_credits.c.position)
    )
    for row in await conn.execute(query):
        found.setdefault(row.invoice_id, []).append(
            ProgressiveCredit(row.credited_invoice_id, row.amount_minor, row.number or "")
        )
    return found
