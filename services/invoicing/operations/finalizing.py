"""Finalizing an invoice: three transactions, with questions to peers between them.

claim → (rating closes the periods) → freeze → (wallet pays) → complete. Each may be repeated by
anyone at any time: the invoice's row is locked, and its status tells what is done already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox, telemetry
from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.domain.content_hash import content_hash
from services.invoicing.domain.invoice import (
    Content,
    Credit,
    Invoice,
    SettledPeriod,
    Status,
    choose_adjustments,
    compose,
    dates,
)
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.domain.numbering import invoice_number
from services.invoicing.domain.party import BillingEntity, ZeroInvoices
from services.invoicing.operations.drafting import load_taxes
from services.invoicing.operations.messages import invoice_message
from services.invoicing.store import invoices, late, parties, parts, series
from services.invoicing.store.late import Adjustment
from tally.invoicing.v1.events_pb2 import InvoiceFinalized


@dataclass(frozen=True, slots=True)
class Claim:
    """An invoice to be finalized, with its lines once it is frozen.

    A draft still bills `period_ids` and the adjustments that it has claimed; `settled` are the
    periods of one that is frozen.
    """

    invoice: Invoice
    period_ids: list[UUID]
    adjustments: list[Adjustment]
    settled: list[SettledPeriod]


async def claim(engine: AsyncEngine, tenant: Tenant, invoice_id: UUID) -> Claim:
    """Return an invoice and all it bills; what rating is asked for is written down first."""
    async with begin(engine, tenant) as conn:
        invoice = await invoices.lock_invoice(conn, tenant, invoice_id)
        period_ids = await invoices.load_period_ids(conn, tenant, invoice_id)
        if invoice.status is Status.DRAFT:
            claimed = await late.claim_adjustments(conn, tenant, invoice)
            return Claim(invoice, period_ids, claimed, [])
        settled = await invoices.load_settled(conn, tenant, invoice_id)
        return Claim(await parts.with_parts(conn, tenant, invoice), period_ids, [], settled)


async def freeze(
    engine: AsyncEngine,
    tenant: Tenant,
    invoice_id: UUID,
    *,
    closed: Sequence[RatedPeriod],
    adjusted: Sequence[RatedPeriod],
) -> bool:
    """Freeze a draft with the fees of its closed periods, and the adjustments that fit on it.

    Those that would take its subtotal below zero wait for the customer's next invoice. False
    says that the draft bills something else by now: claim it again. Frozen before is True.
    """
    async with begin(engine, tenant) as conn:
        invoice = await invoices.lock_invoice(conn, tenant, invoice_id)
        if invoice.status is not Status.DRAFT:
            return True
        period_ids = await invoices.load_period_ids(conn, tenant, invoice_id)
        claimed = await late.load_claimed(conn, tenant, invoice_id)
        if period_ids != sorted(one.period_id for one in closed):
            return False
        if {(one.period_id, one.sequence) for one in claimed} != {
            (one.period_id, one.sequence) for one in adjusted
        }:
            return False
        subtotal_minor = sum(one.amount_minor for one in closed)
        taken, waiting = choose_adjustments(subtotal_minor, adjusted)
        await keep_adjustments(conn, tenant, invoice_id, taken=taken, waiting=waiting)
        applying = await load_taxes(conn, tenant, invoice)
        content = compose(invoice_id, [*closed, *taken], applying)
        settled = [SettledPeriod(one.period_id, one.subscription_id, one.period) for one in closed]
        await invoices.save_settled(conn, tenant, invoice_id, settled)
        await freeze_content(conn, tenant, invoice, content, period_ids)
    return True


async def keep_adjustments(
    conn: AsyncConnection,
    tenant: Tenant,
    invoice_id: UUID,
    *,
    taken: Sequence[RatedPeriod],
    waiting: Sequence[RatedPeriod],
) -> None:
    """Store what rating answered, and bill what is taken."""
    await late.save_adjustments(conn, tenant, taken, invoice_id=invoice_id)
    await late.save_adjustments(conn, tenant, waiting, invoice_id=None)
    billed = [(one.period_id, invoices.adjustment_purpose(one.sequence)) for one in taken]
    await invoices.bill_periods(conn, tenant, invoice_id, billed)


async def freeze_content(
    conn: AsyncConnection,
    tenant: Tenant,
    invoice: Invoice,
    content: Content,
    period_ids: Sequence[UUID],
) -> None:
    await parts.replace_content(conn, tenant, invoice, content)
    digest = content_hash(
        invoice.invoice_id,
        content,
        customer_id=invoice.customer_id,
        currency=invoice.currency,
        period_ids=period_ids,
    )
    await parts.freeze(conn, tenant, invoice, content_hash=digest, trace_id=telemetry.trace_id())


async def complete(
    engine: AsyncEngine,
    tenant: Tenant,
    invoice_id: UUID,
    credits: Sequence[Credit],
    *,
    now: datetime,
) -> None:
    """Close a frozen invoice with what wallets paid; its number is taken last, and announced.

    An invoice of nothing is skipped without a number where the billing entity wants that.
    """
    async with begin(engine, tenant) as conn:
        invoice = await invoices.lock_invoice(conn, tenant, invoice_id)
        if invoice.status is not Status.FINALIZING:
            return
        await parts.save_credits(conn, tenant, invoice_id, credits)
        entity = await parties.load_entity(conn, tenant)
        credits_minor = sum(credit.amount_minor for credit in credits)
        if is_skipped(invoice, entity):
            await parts.close(
                conn,
                tenant,
                invoice_id,
                status=Status.SKIPPED,
                credits_minor=credits_minor,
                dates=dates(now, invoice.time_zone, entity.net_terms_days),
                finalized_at=now,
            )
            return
        await close_numbered(conn, tenant, invoice, entity, credits_minor, now)
        closed = await invoices.load_invoice(conn, tenant, invoice_id=invoice_id)
        whole = await parts.with_parts(conn, tenant, closed)
        await outbox.append(conn, tenant, InvoiceFinalized(invoice=invoice_message(whole)))


async def close_numbered(
    conn: AsyncConnection,
    tenant: Tenant,
    invoice: Invoice,
    entity: BillingEntity,
    credits_minor: int,
    now: datetime,
) -> None:
    customer = await parties.load_customer(conn, tenant, invoice.customer_id)
    sequence = await series.take_invoice_sequence(conn, tenant, invoice.customer_id)
    number = invoice_number(
        entity, sequence=sequence, customer_number=customer.number, finalized_at=now
    )
    # The number is how people ask for the trace: `tally trace INV-202601-001`.
    trace.get_current_span().set_attribute("invoice_number", number)
    await parts.close(
        conn,
        tenant,
        invoice.invoice_id,
        status=Status.FINALIZED,
        credits_minor=credits_minor,
        dates=dates(now, invoice.time_zone, entity.net_terms_days),
        finalized_at=now,
        sequence=sequence,
        number=number,
    )


def is_skipped(invoice: Invoice, entity: BillingEntity) -> bool:
    """Tell whether an invoice bills nothing and nobody wants to see it."""
    nothing = invoice.subtotal_minor + invoice.tax_minor == 0
    return nothing and entity.zero_invoices is ZeroInvoices.SKIP
