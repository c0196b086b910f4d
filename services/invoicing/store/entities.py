"""Reading and writing billing entities."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.coupon import CouponOrder
from services.invoicing.domain.party import (
    ENTITY_CODE,
    Address,
    BillingEntity,
    BillingEntityCodeTaken,
    BillingEntityNotFound,
    Entities,
    IssueAdjustment,
    IssueAnchor,
    Numbering,
    NumberPrefixTaken,
    ZeroInvoices,
)
from services.invoicing.store.encoding import from_json, to_json
from services.invoicing.store.party_schema import billing_entities, number_prefixes


async def load_entities(conn: AsyncConnection, tenant: Tenant) -> Entities:
    """Return the tenant's billing entities; where nothing was set, one with the defaults."""
    rows = (await conn.execute(select(billing_entities).filter_by(tenant=tenant))).all()
    found = {row.code: entity_of(row) for row in rows}
    chosen = [found[row.code] for row in rows if row.is_default]
    default = chosen[0] if chosen else BillingEntity()
    return Entities({default.code: default} | found, default)


def entity_of(row: Row[Any]) -> BillingEntity:
    return BillingEntity(
        code=row.code,
        name=row.name,
        address=from_json(row.address, Address),
        tax_id=row.tax_id,
        number_prefix=row.number_prefix,
        numbering=Numbering(row.numbering),
        time_zone=row.time_zone,
        default_tax_codes=tuple(row.default_tax_codes),
        grace_days=row.grace_days,
        net_terms_days=row.net_terms_days,
        zero_invoices=ZeroInvoices(row.zero_invoices),
        coupon_order=CouponOrder(row.coupon_order),
        issue_anchor=IssueAnchor(row.issue_anchor),
        issue_adjustment=IssueAdjustment(row.issue_adjustment),
        payment_details=row.payment_details,
        footer=row.footer,
    )


async def create_entity(conn: AsyncConnection, tenant: Tenant, entity: BillingEntity) -> None:
    """Store a new billing entity, beside the default.

    Raises:
        BillingEntityCodeTaken: the tenant has one of that code.
        NumberPrefixTaken: another one has, or had, its prefix.
    """
    await ensure_default(conn, tenant)
    if not await _insert_entity(conn, tenant, entity):
        raise BillingEntityCodeTaken(f"there is a billing entity {entity.code}")
    await _take_prefix(conn, tenant, entity)


async def save_entity(conn: AsyncConnection, tenant: Tenant, entity: BillingEntity) -> None:
    """Store a billing entity in place of what it was.

    Raises:
        BillingEntityNotFound: the tenant has none of that code.
        NumberPrefixTaken: another one has, or had, its prefix.
    """
    changing = update(billing_entities).filter_by(tenant=tenant, code=entity.code)
    await ensure_default(conn, tenant)
    changed = changing.values(**_columns_of_entity(entity)).returning(billing_entities.c.code)
    if (await conn.execute(changed)).first() is None:
        raise BillingEntityNotFound(f"no billing entity {entity.code}")
    await _take_prefix(conn, tenant, entity)


async def make_default(conn: AsyncConnection, tenant: Tenant, code: str) -> None:
    """Make a stored billing entity the tenant's default, in place of the one before."""
    of_tenant = update(billing_entities).filter_by(tenant=tenant)
    await conn.execute(of_tenant.filter_by(is_default=True).values(is_default=False))
    await conn.execute(of_tenant.filter_by(code=code).values(is_default=True))


async def ensure_default(conn: AsyncConnection, tenant: Tenant) -> None:
    """Store the default of a tenant that has set nothing, and lock the tenant's default.

    Changes of a tenant's billing entities wait for each other so.
    """
    if await _insert_entity(conn, tenant, BillingEntity(), is_default=True):
        await _take_prefix(conn, tenant, BillingEntity())
    locked = select(billing_entities.c.code).filter_by(tenant=tenant, code=ENTITY_CODE)
    await conn.execute(locked.with_for_update())


async def _insert_entity(
    conn: AsyncConnection, tenant: Tenant, entity: BillingEntity, *, is_default: bool = False
) -> bool:
    """Insert a billing entity; False if there is one of its code."""
    row = insert(billing_entities).values(
        tenant=tenant, code=entity.code, is_default=is_default, **_columns_of_entity(entity)
    )
    adding = row.on_conflict_do_nothing().returning(billing_entities.c.code)
    return (await conn.execute(adding)).first() is not None


async def _take_prefix(conn: AsyncConnection, tenant: Tenant, entity: BillingEntity) -> None:
    prefix = {"tenant": tenant, "prefix": entity.number_prefix}
    row = insert(number_prefixes).values(**prefix, entity_code=entity.code)
    await conn.execute(row.on_conflict_do_nothing())
    of_prefix = select(number_prefixes.c.entity_code).filter_by(**prefix)
    owner = (await conn.execute(of_prefix)).scalar_one()
    if owner != entity.code:
        raise NumberPrefixTaken(f"{entity.number_prefix} is the prefix of {owner}")


def _columns_of_entity(entity: BillingEntity) -> dict[str, Any]:
    return {
        "name": entity.name,
        "address": to_json(entity.address),
        "tax_id": entity.tax_id,
        "number_prefix": entity.number_prefix,
        "numbering": entity.numbering,
        "time_zone": entity.time_zone,
        "default_tax_codes": list(entity.default_tax_codes),
        "grace_days": entity.grace_days,
        "net_terms_days": entity.net_terms_days,
        "zero_invoices": entity.zero_invoices,
        "coupon_order": entity.coupon_order,
        "issue_anchor": entity.issue_anchor,
        "issue_adjustment": entity.issue_adjustment,
        "payment_details": entity.payment_details,
        "footer": entity.footer,
    }
