"""The gRPC face of invoices."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.errors import FieldInvalid
from libs.wire import (
    page_token,
    parse_enum,
    parse_page,
    parse_text,
    parse_uuid,
)
from services.invoicing.api.parsing import parse_before
from services.invoicing.document.render import render_invoice
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.operations import reading
from services.invoicing.operations.messages import invoice_message
from tally.invoicing.v1 import invoice_service_pb2 as pb
from tally.invoicing.v1.invoice_service_pb2_grpc import InvoiceServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class InvoiceServicer(InvoiceServiceServicer):
    """Serves invoices, as messages and as documents."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def GetInvoice(
        self, request: pb.GetInvoiceRequest, context: Context
    ) -> pb.GetInvoiceResponse:
        match request.WhichOneof("key"):
            case "invoice_id":
                invoice_id = parse_uuid(request.invoice_id, "invoice_id")
                invoice = await reading.get_invoice(self._engine, tenant(), invoice_id=invoice_id)
            case "number":
                number = parse_text(request.number, "number")
                invoice = await reading.get_invoice(self._engine, tenant(), number=number)
            case _:
                raise FieldInvalid("key", "name an invoice_id or a number")
        return pb.GetInvoiceResponse(invoice=invoice_message(invoice))

    async def ListInvoices(
        self, request: pb.ListInvoicesRequest, context: Context
    ) -> pb.ListInvoicesResponse:
        page = parse_page(request.page_size, request.page_token)
        found = await reading.list_invoices(
            self._engine,
            tenant(),
            customer_id=parse_text(request.customer_id, "customer_id", required=False),
            status=parse_status(request.status),
            before=parse_before(page.token),
            limit=page.size + 1,
        )
        more = len(found) > page.size
        shown = found[: page.size]
        return pb.ListInvoicesResponse(
            invoices=[invoice_message(invoice) for _, invoice in shown],
            next_page_token=page_token(shown[-1][0]) if more else "",
        )

    async def RenderInvoice(
        self, request: pb.RenderInvoiceRequest, context: Context
    ) -> pb.RenderInvoiceResponse:
        invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        invoice = await reading.get_invoice(self._engine, tenant(), invoice_id=invoice_id)
        document = await asyncio.to_thread(render_invoice, invoice)
        return pb.RenderInvoiceResponse(
            document=document, media_type="application/pdf", file_name=file_name(invoice)
        )


def file_name(invoice: Invoice) -> str:
    """Return what a browser saves the document as."""
    return f"{invoice.number or f'draft-{invoice.invoice_id}'}.pdf"


def parse_status(value: int) -> Status | None:
    """Read a filter by status; UNSPECIFIED does not filter."""
    if value == pb.INVOICE_STATUS_UNSPECIFIED:
        return None
    return Status(parse_enum(value, pb.InvoiceStatus, "status", prefix="INVOICE_STATUS_"))
