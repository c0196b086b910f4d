"""Reading and writing how customers pay without being asked."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.payment import PaymentMethod, PaymentMethodNotFound
from services.invoicing.store.payment_schema import payment_methods


async def find_methods(
    conn: AsyncConnection, tenant: Tenant, customer_ids: Collection[str]
) -> dict[str, PaymentMethod]:
    """Return the payment methods of those customers that have one."""
    query = select(payment_methods).filter_by(tenant=tenant)
    rows = await conn.execute(query.where(among(payment_methods.c.customer_id, customer_ids)))
    return {
        row.customer_id: PaymentMethod(
            row.customer_id, row.provider, row.provider_customer_id, row.provider_method_id
        )
        for row in rows
    }


async def load_method(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> PaymentMethod:
    """Return a customer's payment method.

    Raises:
        PaymentMethodNotFound: the customer has none.
    """
    found = await find_methods(conn, tenant, [customer_id])
    if not found:
        raise PaymentMethodNotFound(f"the customer {customer_id} has no payment method")
    return found[customer_id]


async def save_method(conn: AsyncConnection, tenant: Tenant, method: PaymentMethod) -> None:
    """Store a customer's payment method, in place of the one before."""
    values = {
        "provider": method.provider,
        "provider_customer_id": method.provider_customer_id,
        "provider_method_id": method.provider_method_id,
    }
    row = insert(payment_methods).values(tenant=tenant, customer_id=method.customer_id, **values)
    key = ["tenant", "customer_id"]
    await conn.execute(row.on_conflict_do_update(index_elements=key, set_=values))


async def delete_method(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> None:
    """Forget a customer's payment method, if there is one."""
    which = {"tenant": tenant, "customer_id": customer_id}
    await conn.execute(delete(payment_methods).filter_by(**which))
