"""Drafts: how billing periods become one, and how it keeps up with their usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox, telemetry
from libs.db import begin
from libs.period import Period
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Group, Invoice, Status, compose, group_of
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.domain.tax import Tax
from services.invoicing.operations.messages import invoice_message
from services.invoicing.store import invoices, late, parties, parts, taxes
from tally.invoicing.v1.events_pb2 import InvoiceDrafted


@dataclass(frozen=True, slots=True)
class DuePeriods:
    """Periods of one customer and currency that became due at once."""

    customer_id: str
    currency: str
    due_at: datetime
    time_zone: str  # Of the customer, if nothing else is known of it.
    periods: tuple[tuple[UUID, Period], ...]


@dataclass(frozen=True, slots=True)
class DraftWork:
    """A draft and the periods that it bills, as of its revision."""

    invoice: Invoice
    period_ids: list[UUID]


async def draft_periods(
    conn: AsyncConnection, tenant: Tenant, due: DuePeriods, *, now: datetime
) -> None:
    """Put due periods on their group's draft, a new one if it has none; a repeat does nothing.

    The draft keeps the present trace, which its finalization continues.
    """
    customer = await parties.open_customer(
        conn, tenant, due.customer_id, time_zone=due.time_zone, now=now
    )
    billed = await invoices.find_billed(conn, tenant, [one for one, _ in due.periods])
    fresh = [(one, period) for one, period in due.periods if one not in billed]
    if not fresh:
        return
    entity = await parties.load_entity(conn, tenant)
    zone = customer.zone_name(entity)
    group = group_of(due.customer_id, due.currency, due_at=due.due_at, zone=zone)
    finalize_at = due.due_at + timedelta(days=entity.grace_days)
    invoice_id = await invoices.find_draft(conn, tenant, group)
    joins = invoice_id is not None
    if invoice_id is None:
        invoice_id = await create_draft(conn, tenant, group, zone, finalize_at, now)
    await invoices.bill_periods(
        conn, tenant, invoice_id, [(one, invoices.CLOSE) for one, _ in fresh]
    )
    span = Period(min(each.start for _, each in fresh), max(each.end for _, each in fresh))
    await invoices.extend_draft(conn, tenant, invoice_id, period=span, finalize_at=finalize_at)
    if not joins:
        drafted = await invoices.load_invoice(conn, tenant, invoice_id=invoice_id)
        await outbox.append(conn, tenant, InvoiceDrafted(invoice=invoice_message(drafted)))


async def create_draft(
    conn: AsyncConnection,
    tenant: Tenant,
    group: Group,
    zone: str,
    finalize_at: datetime,
    now: datetime,
) -> UUID:
    invoice_id = uuid4()
    await invoices.create_draft(
        conn,
        tenant,
        invoice_id,
        group,
        time_zone=zone,
        finalize_at=finalize_at,
        created_at=now,
        headers=telemetry.headers(),
    )
    return invoice_id


async def note_changed_usage(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    period_id: UUID,
    customer_id: str,
    currency: str,
    late_version: int,
    closed: bool,
) -> None:
    """Mark the period's draft for a refresh or, when its fees were frozen, an adjustment as due.

    A draft of a closed period is in the finalizer's hands: its fees no longer change.
    """
    if closed:
        await late.note_late_usage(
            conn,
            tenant,
            period_id=period_id,
            customer_id=customer_id,
            currency=currency,
            late_version=late_version,
        )
    else:
        await invoices.mark_stale(conn, tenant, period_id=period_id)


async def load_draft(engine: AsyncEngine, tenant: Tenant, invoice_id: UUID) -> DraftWork:
    """Return what a draft bills, before its periods are rated."""
    async with begin(engine, tenant) as conn:
        invoice = await invoices.load_invoice(conn, tenant, invoice_id=invoice_id)
        return DraftWork(invoice, await invoices.load_period_ids(conn, tenant, invoice_id))


async def refresh_draft(
    engine: AsyncEngine, tenant: Tenant, work: DraftWork, rated: Sequence[RatedPeriod]
) -> bool:
    """Show `rated` on a draft; False if the draft has moved on since `work` was loaded."""
    async with begin(engine, tenant) as conn:
        invoice = await invoices.lock_invoice(conn, tenant, work.invoice.invoice_id)
        if invoice.status is not Status.DRAFT or invoice.revision != work.invoice.revision:
            return False
        applying = await load_taxes(conn, tenant, invoice)
        content = compose(invoice.invoice_id, rated, applying)
        await parts.replace_content(conn, tenant, invoice, content)
    return True


async def load_taxes(conn: AsyncConnection, tenant: Tenant, invoice: Invoice) -> list[Tax]:
    """Return the taxes that apply to an invoice today."""
    customer = await parties.load_customer(conn, tenant, invoice.customer_id)
    entity = await parties.load_entity(conn, tenant)
    return await taxes.load_taxes(conn, tenant, customer.tax_codes(entity))
