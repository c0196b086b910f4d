"""Reading and writing what invoices bill without a billing period."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.add_on import AddOn
from services.invoicing.store.schema import add_ons


async def save_add_ons(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, given: Sequence[AddOn]
) -> None:
    """Put add-ons on a new draft, in their order."""
    if not given:
        return
    rows = [
        {
            "tenant": tenant,
            "invoice_id": invoice_id,
            "position": place,
            "code": one.code,
            "name": one.name,
            "units": one.units,
            "unit_amount": one.unit_amount,
            "tax_codes": list(one.tax_codes),
        }
        for place, one in enumerate(given)
    ]
    await conn.execute(insert(add_ons), rows)


async def load_add_ons(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[AddOn]]:
    """Return the add-ons of invoices in their order, by invoice."""
    found: dict[UUID, list[AddOn]] = {invoice_id: [] for invoice_id in invoice_ids}
    query = select(add_ons).filter_by(tenant=tenant)
    mine = query.where(among(add_ons.c.invoice_id, invoice_ids)).order_by(add_ons.c.position)
    for row in await conn.execute(mine):
        found[row.invoice_id].append(add_on_of(row))
    return found


def add_on_of(row: Row[Any]) -> AddOn:
    """Return the add-on in a row."""
    return AddOn(row.code, row.name, row.units, row.unit_amount, tuple(row.tax_codes))
