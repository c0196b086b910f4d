"""Counters without gaps. A taken number stays locked until the transaction ends: take it last."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.numbering import Sequence
from services.invoicing.store.schema import number_series

CUSTOMERS = "customers"
INVOICES = "invoices"
CUSTOMER_INVOICES = "customer_invoices"


async def take_invoice_sequence(
    conn: AsyncConnection, tenant: Tenant, customer_id: str
) -> Sequence:
    """Return the invoice's place among its customer's and among all of its entity's.

    The entity's counter, on which every finalization of the tenant waits, is taken last.
    """
    of_customer = await take(conn, tenant, CUSTOMER_INVOICES, customer_id)
    return Sequence(of_entity=await take(conn, tenant, INVOICES), of_customer=of_customer)


async def take(conn: AsyncConnection, tenant: Tenant, kind: str, key: str = "") -> int:
    """Return the next number of a series, from 1. A rollback gives it back."""
    first = insert(number_series).values(tenant=tenant, kind=kind, key=key, last=1)
    taken = first.on_conflict_do_update(
        index_elements=["tenant", "kind", "key"], set_={"last": number_series.c.last + 1}
    )
    return int((await conn.execute(taken.returning(number_series.c.last))).scalar_one())
