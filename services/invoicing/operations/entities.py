"""Who sells: the billing entities of a tenant."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.party import BillingEntity, Entities
from services.invoicing.operations.messages import entity_message
from services.invoicing.store import entities, invoices, taxes
from tally.invoicing.v1 import tenant_service_pb2 as pb


async def load_entities(engine: AsyncEngine, tenant: Tenant) -> Entities:
    """Return the tenant's billing entities, with the defaults where nothing was set."""
    async with begin(engine, tenant) as conn:
        return await entities.load_entities(conn, tenant)


async def create_billing_entity(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    entity: BillingEntity,
    *,
    as_default: bool,
) -> pb.CreateBillingEntityResponse:
    """Store a new billing entity, `as_default` in place of the tenant's present one.

    Raises:
        TaxNotFound: it names a tax that does not exist.
        BillingEntityCodeTaken, NumberPrefixTaken: another one has that.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreateBillingEntityResponse)
        if earlier is not None:
            return earlier
        await taxes.load_taxes(conn, tenant, entity.default_tax_codes)
        await entities.create_entity(conn, tenant, entity)
        stored = await settle_default(conn, tenant, entity.code, as_default=as_default)
        answer = pb.CreateBillingEntityResponse(billing_entity=stored)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def update_billing_entity(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    entity: BillingEntity,
    *,
    as_default: bool,
) -> pb.UpdateBillingEntityResponse:
    """Replace a billing entity; the tenant's drafts are refreshed, closed invoices stand.

    Raises:
        TaxNotFound: it names a tax that does not exist.
        BillingEntityNotFound: the tenant has none of that code.
        NumberPrefixTaken: another one has, or had, its prefix.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.UpdateBillingEntityResponse)
        if earlier is not None:
            return earlier
        await taxes.load_taxes(conn, tenant, entity.default_tax_codes)
        code = entity.code or (await entities.load_entities(conn, tenant)).default.code
        await entities.save_entity(conn, tenant, replace(entity, code=code))
        await invoices.mark_drafts_stale(conn, tenant)
        stored = await settle_default(conn, tenant, code, as_default=as_default)
        answer = pb.UpdateBillingEntityResponse(billing_entity=stored)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def settle_default(
    conn: AsyncConnection, tenant: Tenant, code: str, *, as_default: bool
) -> pb.BillingEntity:
    """Make a billing entity the default if that is wanted; return it as it stands then."""
    if as_default:
        await entities.make_default(conn, tenant, code)
    present = await entities.load_entities(conn, tenant)
    return entity_message(present.named(code), is_default=present.default.code == code)
