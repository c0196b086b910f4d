"""Reading and writing taxes. A tax never changes, so it can be read without a lock."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.tax import KnownTax, Tax, TaxCodeTaken, TaxNotFound
from services.invoicing.store.party_schema import taxes


async def create_tax(conn: AsyncConnection, tenant: Tenant, tax: Tax, *, now: datetime) -> None:
    """Store a new tax.

    Raises:
        TaxCodeTaken: another tax has the code.
    """
    row = insert(taxes).values(
        tenant=tenant, code=tax.code, name=tax.name, rate_percent=tax.rate_percent, created_at=now
    )
    if (await conn.execute(row.on_conflict_do_nothing())).rowcount == 0:
        raise TaxCodeTaken(f"there is a tax {tax.code} already")


async def load_taxes(
    conn: AsyncConnection, tenant: Tenant, codes: Collection[str]
) -> dict[str, Tax]:
    """Return the taxes `codes`, by code.

    Raises:
        TaxNotFound: the tenant has no tax of one of the codes.
    """
    if not codes:
        return {}
    query = select(taxes).filter_by(tenant=tenant).where(among(taxes.c.code, codes))
    found = {row.code: tax_of(row).tax for row in await conn.execute(query)}
    if missing := [code for code in codes if code not in found]:
        raise TaxNotFound(f"no tax {', '.join(missing)}", metadata={"tax_code": missing[0]})
    return found


async def list_taxes(
    conn: AsyncConnection, tenant: Tenant, *, after: str, limit: int
) -> list[KnownTax]:
    """Return taxes after the code `after`, by code."""
    query = select(taxes).filter_by(tenant=tenant).order_by(taxes.c.code).limit(limit)
    if after:
        query = query.where(taxes.c.code > after)
    return [tax_of(row) for row in await conn.execute(query)]


def tax_of(row: Row[Any]) -> KnownTax:
    return KnownTax(Tax(row.code, row.name, row.rate_percent), row.created_at.astimezone(UTC))
