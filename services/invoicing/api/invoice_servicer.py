"""The gRPC face of invoices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import caller, tenant
from libs.db import Snapshots
from libs.errors import FieldInvalid
from libs.verification import Counts, answers
from libs.wire import (
    Faults,
    fitting,
    page_token,
    parse_enum,
    parse_page,
    parse_text,
    parse_uuid,
)
from services.invoicing.api.parsing import parse_before, parse_format
from services.invoicing.document.render import render_invoice
from services.invoicing.domain.invoice import Status
from services.invoicing.domain.payment import InvoicePaymentStatus
from services.invoicing.operations import reading
from services.invoicing.operations.messages import invoice_message
from services.invoicing.operations.peers import Rating, Wallet
from services.invoicing.operations.verifying import verify_credits, verify_invoices
from tally.invoicing.v1 import invoice_service_pb2 as pb
from tally.invoicing.v1 import payment_service_pb2 as payment_pb
from tally.invoicing.v1.invoice_service_pb2_grpc import InvoiceServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class InvoiceServicer(InvoiceServiceServicer):
    """Serves invoices, as messages and as documents."""

    def __init__(
        self, engine: AsyncEngine, worker: AsyncEngine, rating: Rating, wallet: Wallet
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._rating = rating
        self._wallet = wallet

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
            payment_status=parse_payment_status(request.payment_status),
            overdue=request.overdue,
            before=parse_before(page.token),
            limit=page.size + 1,
        )
        shown = fitting([invoice_message(invoice) for _, invoice in found[: page.size]])
        more = len(found) > len(shown)
        return pb.ListInvoicesResponse(
            invoices=shown, next_page_token=page_token(found[len(shown) - 1][0]) if more else ""
        )

    async def ListFoldedLines(
        self, request: pb.ListFoldedLinesRequest, context: Context
    ) -> pb.ListFoldedLinesResponse:
        faults = Faults()
        with faults.gathered():
            invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        with faults.gathered():
            line_id = parse_uuid(request.line_id, "line_id")
        with faults.gathered():
            page = parse_page(request.page_size, request.page_token)
        faults.check()
        return await reading.list_folded_lines(self._engine, tenant(), invoice_id, line_id, page)

    async def RenderInvoice(
        self, request: pb.RenderInvoiceRequest, context: Context
    ) -> pb.RenderInvoiceResponse:
        form = parse_format(request.format)
        invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        invoice = await reading.get_invoice(self._engine, tenant(), invoice_id=invoice_id)
        document = await asyncio.to_thread(render_invoice, invoice, form)
        return pb.RenderInvoiceResponse(
            document=document.content,
            media_type=document.media_type,
            file_name=document.file_name,
        )

    def VerifyInvoices(
        self, request: pb.VerifyInvoicesRequest, context: Context
    ) -> AsyncGenerator[pb.VerifyInvoicesResponse, None]:
        counts = Counts()
        found = verify_invoices(self._snapshots(), self._rating, counts)
        return answers(pb.VerifyInvoicesResponse, found, counts)

    def VerifyCredits(
        self, request: pb.VerifyCreditsRequest, context: Context
    ) -> AsyncGenerator[pb.VerifyCreditsResponse, None]:
        counts = Counts()
        found = verify_credits(self._snapshots(), self._wallet, counts)
        return answers(pb.VerifyCreditsResponse, found, counts)

    def _snapshots(self) -> Snapshots:
        """Return where to read: of the caller's tenant, or for an internal one without, of all."""
        return Snapshots(self._engine, self._worker, caller().tenant)


def parse_status(value: int) -> Status | None:
    """Read a filter by status; UNSPECIFIED does not filter."""
    if value == pb.INVOICE_STATUS_UNSPECIFIED:
        return None
    return Status(parse_enum(value, pb.InvoiceStatus, "status", prefix="INVOICE_STATUS_"))


def parse_payment_status(value: int) -> InvoicePaymentStatus | None:
    """Read a filter by payment status; UNSPECIFIED does not filter."""
    if value == payment_pb.INVOICE_PAYMENT_STATUS_UNSPECIFIED:
        return None
    prefix = "INVOICE_PAYMENT_STATUS_"
    name = parse_enum(value, payment_pb.InvoicePaymentStatus, "payment_status", prefix=prefix)
    return InvoicePaymentStatus(name)
