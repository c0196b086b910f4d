"""Invoices as callers see them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from libs.wire import Page, fitting, page_token, parse_page_token
from services.invoicing.domain.folded_lines import LineNotFound
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.domain.payment import InvoicePaymentStatus
from services.invoicing.operations.messages import line_message
from services.invoicing.store import folded_lines, invoices, parts
from tally.invoicing.v1 import invoice_service_pb2 as pb


async def get_invoice(
    engine: AsyncEngine, tenant: Tenant, *, invoice_id: UUID | None = None, number: str = ""
) -> Invoice:
    """Return an invoice with its lines, by its id or its number.

    Raises:
        InvoiceNotFound: the tenant has no such invoice.
    """
    async with begin(engine, tenant) as conn:
        which = invoice_id or await invoices.find_invoice_id(conn, tenant, number)
        found = await invoices.load_invoices(conn, tenant, [which])
        [whole] = await parts.with_parts(conn, tenant, found.values())
        return whole


async def list_folded_lines(
    engine: AsyncEngine, tenant: Tenant, invoice_id: UUID, line_id: UUID, page: Page
) -> pb.ListFoldedLinesResponse:
    """Return a page of the lines that a shown line stands for, as far as an answer holds.

    Raises:
        InvoiceNotFound: the tenant has no such invoice.
        LineNotFound: it has no such line.
    """
    keys = parse_page_token(page.token, int, int)
    after = folded_lines.Place(*keys) if keys else None  # type: ignore[arg-type]
    async with begin(engine, tenant) as conn:
        await invoices.load_invoices(conn, tenant, [invoice_id])
        crowded = await folded_lines.find_folded(conn, tenant, invoice_id)
        by_id = {charge.folded_line_id(invoice_id): charge for charge in crowded}
        if line_id not in by_id:
            if await folded_lines.has_line(conn, tenant, invoice_id, line_id):
                return pb.ListFoldedLinesResponse()  # It stands for itself.
            raise LineNotFound(f"no line {line_id} on the invoice {invoice_id}")
        found = await folded_lines.list_folded(
            conn, tenant, invoice_id, by_id[line_id], after=after, limit=page.size + 1
        )
    shown = fitting([line_message(line) for _, line in found[: page.size]])
    more = len(found) > len(shown)
    return pb.ListFoldedLinesResponse(
        lines=shown, next_page_token=page_token(*found[len(shown) - 1][0]) if more else ""
    )


async def list_invoices(
    engine: AsyncEngine,
    tenant: Tenant,
    *,
    customer_id: str,
    status: Status | None,
    before: int | None,
    limit: int,
    payment_status: InvoicePaymentStatus | None = None,
    overdue: bool = False,
) -> list[tuple[int, Invoice]]:
    """Return invoices without lines, newest first, each with its ordinal to page by."""
    async with begin(engine, tenant) as conn:
        return await invoices.list_invoices(
            conn,
            tenant,
            customer_id=customer_id,
            status=status,
            before=before,
            limit=limit,
            payment_status=payment_status,
            overdue=overdue,
        )
