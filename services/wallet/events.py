"""Facts that invoicing announces: each handler is part of the transaction that takes the fact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.clock import Clock
from libs.consumer import Handler
from libs.inbox import Fact
from libs.tenant import Tenant
from libs.wire import parse_uuid
from services.wallet.operations import topping_up
from tally.invoicing.v1.events_pb2 import InvoicePaid, PaymentFailed
from tally.invoicing.v1.invoice_service_pb2 import INVOICE_KIND_CREDIT_PURCHASE, Invoice


def handlers(clock: Clock) -> dict[str, Handler]:
    """Return the handlers by the facts' full names."""

    async def take_paid(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        invoices = (InvoicePaid.FromString(fact.payload).invoice for fact in facts)
        if bought := parse_bought(invoices):
            await topping_up.settle(conn, tenant, bought, clock.now())

    async def take_failed(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        invoices = (PaymentFailed.FromString(fact.payload).invoice for fact in facts)
        if bought := parse_bought(invoices):
            await topping_up.fail(conn, tenant, bought, clock.now())

    return {
        InvoicePaid.DESCRIPTOR.full_name: take_paid,
        PaymentFailed.DESCRIPTOR.full_name: take_failed,
    }


def parse_bought(invoices: Iterable[Invoice]) -> list[UUID]:
    """Return the top-ups among what invoices bill: the ids are the same."""
    return [
        parse_uuid(invoice.invoice_id, "invoice.invoice_id")
        for invoice in invoices
        if invoice.kind == INVOICE_KIND_CREDIT_PURCHASE
    ]
