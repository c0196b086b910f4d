"""Invoices of given lines, without a billing period: by hand, or for prepaid credits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests, telemetry
from libs.db import begin
from libs.money import Money, to_decimal
from libs.period import local_day
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.add_on import AddOn
from services.invoicing.domain.invoice import Group, Invoice, Kind, compose
from services.invoicing.operations.composing import take_coupons, take_taxes
from services.invoicing.operations.drafting import announce_drafts, load_given
from services.invoicing.operations.messages import invoice_message
from services.invoicing.store import add_ons, entities, invoices, parties, parts
from services.invoicing.store.invoices import Draft
from tally.invoicing.v1 import billing_service_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOff:
    """An invoice to be made of add-ons.

    One that `requires_payment` gets its number once it is paid, and stays open until then.
    """

    customer_id: str
    currency: str
    add_ons: tuple[AddOn, ...]
    kind: Kind = Kind.ONE_OFF
    requires_payment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """Prepaid credits that are to be bought; their invoice has the id of the top-up."""

    top_up_id: UUID
    customer_id: str
    amount: Money
    wallet_name: str
    requires_payment: bool
    headers: Mapping[str, str]


async def create_one_off(
    engine: AsyncEngine, tenant: Tenant, request: Request, order: OneOff, *, now: datetime
) -> pb.CreateOneOffInvoiceResponse:
    """Draft what is ordered, for the finalizer to go on with at once.

    Raises:
        CustomerNotFound, TaxNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreateOneOffInvoiceResponse)
        if earlier is not None:
            return earlier
        await parties.load_customer(conn, tenant, order.customer_id)
        invoice = await draft_one_off(conn, tenant, order, now=now)
        answer = pb.CreateOneOffInvoiceResponse(invoice=invoice_message(invoice))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def draft_purchase(
    conn: AsyncConnection, tenant: Tenant, purchase: Purchase, *, now: datetime
) -> None:
    """Bill prepaid credits: the customer has them once the invoice is paid."""
    name = " ".join(["Prepaid credits", *([purchase.wallet_name] if purchase.wallet_name else [])])
    order = OneOff(
        customer_id=purchase.customer_id,
        currency=purchase.amount.currency,
        add_ons=(AddOn("credits", name, Decimal(1), to_decimal(purchase.amount)),),
        kind=Kind.CREDIT_PURCHASE,
        requires_payment=purchase.requires_payment,
    )
    await draft_one_off(
        conn, tenant, order, now=now, invoice_id=purchase.top_up_id, headers=purchase.headers
    )


async def draft_one_off(
    conn: AsyncConnection,
    tenant: Tenant,
    order: OneOff,
    *,
    now: datetime,
    invoice_id: UUID | None = None,
    headers: Mapping[str, str] | None = None,
) -> Invoice:
    """Store a draft of add-ons that is due at once, and announce it; return it with its lines.

    A customer that was never met becomes a stub. The caller answers for repeats. `headers` hold the
    trace that it goes on with, by default the present one.
    """
    new_id = invoice_id or uuid4()
    known = await parties.open_customers(conn, tenant, {order.customer_id: ""}, now=now)
    sellers = await entities.load_entities(conn, tenant)
    buyer = known[order.customer_id]
    seller = sellers.selling_to(buyer.profile)
    zone = buyer.zone_name(seller)
    day = local_day(now, ZoneInfo(zone))
    draft = Draft(
        invoice_id=new_id,
        group=Group(
            order.customer_id,
            order.currency,
            day,
            alone=new_id,
            kind=order.kind,
            entity_code=seller.code,
        ),
        time_zone=zone,
        period=None,
        finalize_at=now,
        headers=telemetry.headers() if headers is None else headers,
        requires_payment=order.requires_payment,
    )
    await invoices.create_drafts(conn, tenant, [draft], created_at=now)
    await add_ons.save_add_ons(conn, tenant, new_id, order.add_ons)
    stored = (await invoices.load_invoices(conn, tenant, [new_id]))[new_id]
    by_hand = await load_given(conn, tenant, [stored])
    drafts, composed = {new_id: stored}, {new_id: compose(new_id, by_hand[new_id])}
    composed = await take_coupons(conn, tenant, drafts, composed)
    composed = await take_taxes(conn, tenant, drafts, composed)
    await parts.replace_contents(conn, tenant, [(stored, composed[new_id])])
    await announce_drafts(conn, tenant, [new_id])
    shown = await invoices.load_invoices(conn, tenant, [new_id])
    [whole] = await parts.with_parts(conn, tenant, shown.values())
    return whole
