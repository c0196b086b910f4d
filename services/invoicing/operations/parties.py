"""Who buys, and taxes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.party import Customer, KnownCustomer
from services.invoicing.domain.tax import KnownTax, Tax
from services.invoicing.operations.messages import customer_message, tax_message
from services.invoicing.store import entities, invoices, parties, taxes
from tally.invoicing.v1.customer_service_pb2 import UpsertCustomerResponse
from tally.invoicing.v1.tax_service_pb2 import CreateTaxResponse


async def upsert_customer(
    engine: AsyncEngine, tenant: Tenant, request: Request, profile: Customer, *, now: datetime
) -> UpsertCustomerResponse:
    """Store a customer in place of what was known of it; its drafts are refreshed.

    Raises:
        TaxNotFound, BillingEntityNotFound: it names one that does not exist.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, UpsertCustomerResponse)
        if earlier is not None:
            return earlier
        await taxes.load_taxes(conn, tenant, profile.tax_codes)
        (await entities.load_entities(conn, tenant)).named(profile.entity_code)
        stored = await parties.save_customer(conn, tenant, profile, now=now)
        await invoices.mark_drafts_stale(conn, tenant, customer_id=profile.customer_id)
        answer = UpsertCustomerResponse(customer=customer_message(stored))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_customer(engine: AsyncEngine, tenant: Tenant, customer_id: str) -> KnownCustomer:
    """Return a customer.

    Raises:
        CustomerNotFound: the tenant has none of that id.
    """
    async with begin(engine, tenant) as conn:
        return await parties.load_customer(conn, tenant, customer_id)


async def list_customers(
    engine: AsyncEngine, tenant: Tenant, *, after: str, limit: int
) -> list[KnownCustomer]:
    """Return customers after the id `after`, by id."""
    async with begin(engine, tenant) as conn:
        return await parties.list_customers(conn, tenant, after=after, limit=limit)


async def create_tax(
    engine: AsyncEngine, tenant: Tenant, request: Request, tax: Tax, *, now: datetime
) -> CreateTaxResponse:
    """Store a new tax.

    Raises:
        TaxCodeTaken: another tax has the code.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, CreateTaxResponse)
        if earlier is not None:
            return earlier
        await taxes.create_tax(conn, tenant, tax, now=now)
        answer = CreateTaxResponse(tax=tax_message(KnownTax(tax, now)))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def list_taxes(
    engine: AsyncEngine, tenant: Tenant, *, after: str, limit: int
) -> list[KnownTax]:
    """Return taxes after the code `after`, by code."""
    async with begin(engine, tenant) as conn:
        return await taxes.list_taxes(conn, tenant, after=after, limit=limit)
