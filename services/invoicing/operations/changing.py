"""Changing drafts by hand, and finalizing them before their grace is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.adjusted_fee import AdjustedFee, InvoiceNotDraft, adjust
from services.invoicing.domain.folded_lines import LineNotFound
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.store import adjusted_fees, invoices, parts
from tally.invoicing.v1 import billing_service_pb2 as pb


async def mark_for_refresh(
    engine: AsyncEngine, tenant: Tenant, request: Request, invoice_id: UUID
) -> None:
    """Have a draft rated again; a repeat does nothing.

    Raises:
        InvoiceNotFound: there is none; or InvoiceNotDraft: it is frozen.
    """
    async with begin(engine, tenant) as conn:
        if await requests.claim(conn, tenant, request, pb.RefreshDraftResponse) is None:
            await _lock_draft(conn, tenant, invoice_id)
            await invoices.mark_draft_stale(conn, tenant, invoice_id)
            await requests.save_answer(conn, tenant, request, pb.RefreshDraftResponse())


async def adjust_fees(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    invoice_id: UUID,
    fees: Sequence[AdjustedFee],
) -> None:
    """Set fees of a draft's lines, to stay however often it is rated; a repeat does nothing.

    Raises:
        InvoiceNotFound, LineNotFound: there is none; or InvoiceNotDraft: it is frozen.
    """
    async with begin(engine, tenant) as conn:
        if await requests.claim(conn, tenant, request, pb.AdjustFeeResponse) is None:
            draft = await _lock_draft(conn, tenant, invoice_id)
            [whole] = await parts.with_parts(conn, tenant, [draft])
            lines = {line.line_id for line in whole.lines}
            for one in fees:
                if one.line_id not in lines:
                    raise LineNotFound(f"no line {one.line_id} on the draft {invoice_id}")
            await adjusted_fees.save_adjusted(conn, tenant, invoice_id, fees)
            await invoices.mark_draft_stale(conn, tenant, invoice_id)
            await requests.save_answer(conn, tenant, request, pb.AdjustFeeResponse())


async def make_due(
    engine: AsyncEngine, tenant: Tenant, request: Request, invoice_id: UUID, *, now: datetime
) -> None:
    """End a draft's grace; a repeat does nothing.

    Raises:
        InvoiceNotFound: there is none; or InvoiceNotDraft: it is frozen.
    """
    async with begin(engine, tenant) as conn:
        if await requests.claim(conn, tenant, request, pb.FinalizeInvoiceResponse) is None:
            await _lock_draft(conn, tenant, invoice_id)
            await invoices.make_due(conn, tenant, [invoice_id], now=now)
            await requests.save_answer(conn, tenant, request, pb.FinalizeInvoiceResponse())


async def adjust_closed(
    conn: AsyncConnection,
    tenant: Tenant,
    drafts: Mapping[UUID, Invoice],
    closed: Mapping[UUID, Sequence[RatedPeriod]],
) -> dict[UUID, list[RatedPeriod]]:
    """Return what rating answered for drafts, with the fees that were set on them."""
    fees = await adjusted_fees.load_adjusted(conn, tenant, closed.keys())
    return {
        invoice_id: adjust(invoice_id, drafts[invoice_id].currency, rated, fees[invoice_id])
        for invoice_id, rated in closed.items()
    }


async def _lock_draft(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID) -> Invoice:
    invoice = (await invoices.lock_invoices(conn, tenant, [invoice_id]))[invoice_id]
    if invoice.status is not Status.DRAFT:
        raise InvoiceNotDraft(f"the invoice {invoice.number or invoice_id} is {invoice.status}")
    return invoice
