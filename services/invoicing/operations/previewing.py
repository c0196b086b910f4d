"""What a customer's next invoice would be: composed like any other, and rolled back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin
from libs.period import local_day
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.domain.upcoming import Upcoming
from services.invoicing.operations.composing import take_notes
from services.invoicing.operations.drafting import DuePeriods, draft_periods, show_draft
from services.invoicing.store import invoices, parts


def next_due(upcoming: Iterable[Upcoming]) -> DuePeriods | None:
    """Return what becomes due next: of one currency, on one local day; None: nothing.

    Instant fees have invoices of their own.
    """
    waiting = [one for one in upcoming if not one.instant]
    first = min(waiting, key=lambda one: (one.due_at, one.currency), default=None)
    if first is None:
        return None
    together = [one for one in waiting if _group(one) == _group(first)]
    return DuePeriods(
        first.customer_id,
        first.currency,
        first.due_at,
        first.time_zone,
        tuple((one.period_id, one.period) for one in together),
    )


async def preview(
    engine: AsyncEngine,
    tenant: Tenant,
    due: DuePeriods,
    rated: Mapping[UUID, RatedPeriod],
    *,
    now: datetime,
) -> tuple[Invoice | None, list[UUID]]:
    """Return what an invoice of due periods would be, before prepaid credits; nothing is stored.

    If they would join a draft whose periods are not `rated`, these are returned instead.
    """
    async with begin(engine, tenant) as conn:
        savepoint = await conn.begin_nested()
        try:
            await draft_periods(conn, tenant, [due], now=now)
            billed = await _billed(conn, tenant, due)
            missing = [one for one in billed if one not in rated]
            if missing:
                return None, missing
            of_invoice = [rated[one] for one in billed]
            return await _shown(conn, tenant, due, of_invoice), []
        finally:
            await savepoint.rollback()


async def _billed(conn: AsyncConnection, tenant: Tenant, due: DuePeriods) -> Sequence[UUID]:
    invoice_id = await _invoice_of(conn, tenant, due)
    return (await invoices.load_period_ids(conn, tenant, [invoice_id]))[invoice_id]


async def _shown(
    conn: AsyncConnection, tenant: Tenant, due: DuePeriods, rated: Sequence[RatedPeriod]
) -> Invoice:
    invoice_id = await _invoice_of(conn, tenant, due)
    draft = (await invoices.lock_invoices(conn, tenant, [invoice_id]))[invoice_id]
    composed = {invoice_id: await show_draft(conn, tenant, draft, rated)}
    composed = await take_notes(conn, tenant, {invoice_id: draft}, composed)
    await parts.replace_contents(conn, tenant, [(draft, composed[invoice_id])])
    stored = await invoices.load_invoices(conn, tenant, [invoice_id])
    [whole] = await parts.with_parts(conn, tenant, stored.values())
    return replace(whole, created_at=due.due_at)


async def _invoice_of(conn: AsyncConnection, tenant: Tenant, due: DuePeriods) -> UUID:
    """Return the invoice that the first of the periods is on."""
    return await invoices.find_billing_invoice(conn, tenant, due.periods[0][0])


def _group(one: Upcoming) -> tuple[object, ...]:
    return one.currency, local_day(one.due_at, ZoneInfo(one.time_zone))
