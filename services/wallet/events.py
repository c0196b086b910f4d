"""Facts that invoicing announces: each handler is part of the transaction that takes the fact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.clock import Clock
from libs.consumer import Handler
from libs.inbox import Fact
from libs.tenant import Tenant
from libs.wire import parse_currency, parse_uuid
from services.wallet.domain.reservation import Unbilled, UnbilledLine
from services.wallet.domain.top_up import TopUpStatus
from services.wallet.operations import topping_up
from services.wallet.operations.reserving import reserve_unbilled
from tally.invoicing.v1.events_pb2 import (
    InvoicePaid,
    InvoiceVoided,
    PaymentFailed,
    UnbilledAmountChanged,
)
from tally.invoicing.v1.invoice_service_pb2 import INVOICE_KIND_CREDIT_PURCHASE, Invoice


def handlers(clock: Clock) -> dict[str, Handler]:
    """Return the handlers by the facts' full names."""

    async def take_unbilled(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        told = [parse_unbilled(fact) for fact in facts]
        await reserve_unbilled(conn, tenant, told, clock.now())

    async def take_paid(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        invoices = (InvoicePaid.FromString(fact.payload).invoice for fact in facts)
        if bought := parse_bought(invoices):
            await topping_up.settle(conn, tenant, bought, clock.now())

    async def take_failed(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        invoices = (PaymentFailed.FromString(fact.payload).invoice for fact in facts)
        if bought := parse_bought(invoices):
            await topping_up.give_up(conn, tenant, bought, TopUpStatus.FAILED, clock.now())

    async def take_voided(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        invoices = (InvoiceVoided.FromString(fact.payload).invoice for fact in facts)
        if bought := parse_bought(invoices):
            await topping_up.give_up(conn, tenant, bought, TopUpStatus.CANCELLED, clock.now())

    return {
        UnbilledAmountChanged.DESCRIPTOR.full_name: take_unbilled,
        InvoicePaid.DESCRIPTOR.full_name: take_paid,
        PaymentFailed.DESCRIPTOR.full_name: take_failed,
        InvoiceVoided.DESCRIPTOR.full_name: take_voided,
    }


def parse_unbilled(fact: Fact) -> Unbilled:
    """Read an UnbilledAmountChanged."""
    message = UnbilledAmountChanged.FromString(fact.payload)
    return Unbilled(
        customer_id=message.customer_id,
        currency=parse_currency(message.currency_code, "currency_code"),
        period_id=parse_uuid(message.period_id, "period_id"),
        subscription_id=message.subscription_id,
        revision=message.revision,
        lines=[
            UnbilledLine(line.fee_kind, line.meter_code, line.gross_minor)
            for line in message.lines
            if line.gross_minor > 0
        ],
    )


def parse_bought(invoices: Iterable[Invoice]) -> list[UUID]:
    """Return the top-ups among what invoices bill: the ids are the same."""
    return [
        parse_uuid(invoice.invoice_id, "invoice.invoice_id")
        for invoice in invoices
        if invoice.kind == INVOICE_KIND_CREDIT_PURCHASE
    ]
