"""Reading and writing fees that were set by hand on drafts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.adjusted_fee import AdjustedFee
from services.invoicing.store.schema import adjusted_fees


async def save_adjusted(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, fees: Collection[AdjustedFee]
) -> None:
    """Put adjusted fees on a locked draft, each in place of what was set of its line before."""
    for one in fees:  # Few: somebody wrote them.
        key = {"tenant": tenant, "invoice_id": invoice_id, "line_id": one.line_id}
        values = {"name": one.name, "units": one.units, "unit_amount": one.unit_amount}
        if one.empty:
            await conn.execute(delete(adjusted_fees).filter_by(**key))
            continue
        row = insert(adjusted_fees).values(**key, **values)
        await conn.execute(row.on_conflict_do_update(index_elements=list(key), set_=values))


async def load_adjusted(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[AdjustedFee]]:
    """Return the adjusted fees of invoices, by invoice."""
    found: dict[UUID, list[AdjustedFee]] = {invoice_id: [] for invoice_id in invoice_ids}
    mine = among(adjusted_fees.c.invoice_id, invoice_ids)
    query = select(adjusted_fees).filter_by(tenant=tenant).where(mine)
    for row in await conn.execute(query.order_by(adjusted_fees.c.line_id)):
        found[row.invoice_id].append(adjusted_of(row))
    return found


def adjusted_of(row: Row[Any]) -> AdjustedFee:
    """Return the adjusted fee in a row."""
    return AdjustedFee(row.line_id, row.name, row.units, row.unit_amount)
