"""Reading and writing customers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.party import (
    Address,
    Customer,
    CustomerNotFound,
    IssueAdjustment,
    IssueAnchor,
    KnownCustomer,
    Party,
    buyer_of,
)
from services.invoicing.store import series
from services.invoicing.store.encoding import from_json, to_json
from services.invoicing.store.party_schema import customers

OF_BUYER = (
    "name",
    "email",
    "address",
    "tax_id",
    "tax_exempt",
    "tax_exempt_reason",
    "reverse_charge",
    "self_billed",
)


async def find_customers(
    conn: AsyncConnection, tenant: Tenant, customer_ids: Collection[str]
) -> dict[str, KnownCustomer]:
    """Return those of the customers that were met before, by id."""
    which = among(customers.c.customer_id, customer_ids)
    query = select(customers).filter_by(tenant=tenant).where(which)
    return {row.customer_id: customer_of(row) for row in await conn.execute(query)}


async def load_customer(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> KnownCustomer:
    """Return a customer.

    Raises:
        CustomerNotFound: the tenant has none of that id.
    """
    found = await find_customers(conn, tenant, [customer_id])
    if not found:
        raise CustomerNotFound(f"no customer {customer_id}")
    return found[customer_id]


async def list_customers(
    conn: AsyncConnection, tenant: Tenant, *, after: str, limit: int
) -> list[KnownCustomer]:
    """Return customers after the id `after`, by id."""
    query = select(customers).filter_by(tenant=tenant).order_by(customers.c.customer_id)
    if after:
        query = query.where(customers.c.customer_id > after)
    return [customer_of(row) for row in await conn.execute(query.limit(limit))]


async def save_customer(
    conn: AsyncConnection, tenant: Tenant, profile: Customer, *, now: datetime
) -> KnownCustomer:
    """Store a customer in place of what was known of it; a new one gets the next number."""
    changed = update(customers).filter_by(tenant=tenant, customer_id=profile.customer_id)
    row = (await conn.execute(changed.values(**columns_of(profile)).returning(customers))).first()
    if row is not None:
        return customer_of(row)
    if await create_customers(conn, tenant, [profile], now=now):
        return await load_customer(conn, tenant, profile.customer_id)
    # Another transaction created it between the two statements; now it can be changed.
    return await save_customer(conn, tenant, profile, now=now)


async def open_customers(
    conn: AsyncConnection, tenant: Tenant, time_zones: Mapping[str, str], *, now: datetime
) -> dict[str, KnownCustomer]:
    """Return customers by id, with stubs of those, in these zones, that were never met."""
    while True:
        known = await find_customers(conn, tenant, time_zones.keys())
        stubs = [
            Customer(customer_id=customer_id, time_zone=zone, stub=True)
            for customer_id, zone in time_zones.items()
            if customer_id not in known
        ]
        if not stubs:
            return known
        # If another transaction meets one of them first, all are looked for again.
        await create_customers(conn, tenant, stubs, now=now)


async def create_customers(
    conn: AsyncConnection, tenant: Tenant, profiles: Sequence[Customer], *, now: datetime
) -> bool:
    """Insert customers with the next numbers; False, and none, if another was there first.

    The numbers come before the rows, as nobody may see a customer without one. The savepoint
    gives them back to the series when a row was there already.
    """
    async with conn.begin_nested() as savepoint:
        first = await series.take(conn, tenant, series.CUSTOMERS, count=len(profiles))
        rows = [
            {
                "tenant": tenant,
                "customer_id": profile.customer_id,
                "number": number,
                "created_at": now,
                **columns_of(profile),
            }
            for number, profile in enumerate(profiles, start=first)
        ]
        adding = insert(customers).on_conflict_do_nothing().returning(customers.c.customer_id)
        if len((await conn.execute(adding, rows)).all()) == len(rows):
            return True
        await savepoint.rollback()
    return False


def columns_of(profile: Customer) -> dict[str, Any]:
    return {
        "name": profile.name,
        "email": profile.email,
        "address": to_json(profile.address),
        "tax_id": profile.tax_id,
        "tax_codes": list(profile.tax_codes),
        "tax_exempt": profile.tax_exempt,
        "tax_exempt_reason": profile.tax_exempt_reason,
        "reverse_charge": profile.reverse_charge,
        "time_zone": profile.time_zone,
        "metadata": profile.metadata,
        "stub": profile.stub,
        "entity_code": profile.entity_code,
        "grace_days": profile.grace_days,
        "net_terms_days": profile.net_terms_days,
        "issue_anchor": profile.issue_anchor,
        "issue_adjustment": profile.issue_adjustment,
        "self_billed": profile.self_billed,
        "late_usage_days": profile.late_usage_days,
    }


def buyer_columns() -> list[ColumnElement[Any]]:
    """Return what of customers stands on documents, for `buyer_today`."""
    return [customers.c[name].label(f"customer_{name}") for name in OF_BUYER]


def buyer_today(row: Row[Any]) -> Party:
    """Return the buyer as of today, from a row with `buyer_columns`."""
    found = {name: row._mapping[f"customer_{name}"] for name in OF_BUYER}
    address = from_json(found.pop("address"), Address)
    return buyer_of(Customer(customer_id=row.customer_id, address=address, **found))


def customer_of(row: Row[Any]) -> KnownCustomer:
    profile = Customer(
        customer_id=row.customer_id,
        name=row.name,
        email=row.email,
        address=from_json(row.address, Address),
        tax_id=row.tax_id,
        tax_codes=tuple(row.tax_codes),
        tax_exempt=row.tax_exempt,
        tax_exempt_reason=row.tax_exempt_reason,
        reverse_charge=row.reverse_charge,
        time_zone=row.time_zone,
        metadata=row.metadata,
        stub=row.stub,
        entity_code=row.entity_code,
        grace_days=row.grace_days,
        net_terms_days=row.net_terms_days,
        issue_anchor=row.issue_anchor and IssueAnchor(row.issue_anchor),
        issue_adjustment=row.issue_adjustment and IssueAdjustment(row.issue_adjustment),
        self_billed=row.self_billed,
        late_usage_days=row.late_usage_days,
    )
    return KnownCustomer(profile, row.number, row.created_at.astimezone(UTC))
