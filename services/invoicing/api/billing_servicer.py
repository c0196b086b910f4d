"""The gRPC face of billing by hand."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

import grpc

from libs.auth import tenant
from libs.wire import Faults, parse_request, parse_text, parse_uuid
from libs.worker import PASSING
from services.invoicing.api.add_ons import (
    parse_adjusted_fee,
    parse_adjusted_fees,
    parse_one_off,
)
from services.invoicing.loops import Drafter, Finalizer, Parts
from services.invoicing.operations import changing, reading, voiding
from services.invoicing.operations.messages import invoice_message
from services.invoicing.operations.one_off import create_one_off
from services.invoicing.returner import Returner
from tally.invoicing.v1 import billing_service_pb2 as pb
from tally.invoicing.v1.billing_service_pb2_grpc import BillingServiceServicer
from tally.invoicing.v1.invoice_service_pb2 import Invoice

REASON_BYTES_MAX = 500

Context = grpc.aio.ServicerContext[Any, Any]


class BillingServicer(BillingServiceServicer):
    """Serves who makes and changes invoices by hand."""

    def __init__(self, parts: Parts) -> None:
        self._engine = parts.engine
        self._clock = parts.clock
        self._committed = parts.committed
        self._returner = Returner(parts)
        self._drafter = Drafter(parts)
        self._finalizer = Finalizer(parts)

    async def CreateOneOffInvoice(
        self, request: pb.CreateOneOffInvoiceRequest, context: Context
    ) -> pb.CreateOneOffInvoiceResponse:
        command = parse_request(request, request.request_id)
        order = parse_one_off(request)
        now = self._clock.now()
        answer = await create_one_off(self._engine, tenant(), command, order, now=now)
        self._committed()
        return answer

    async def RefreshDraft(
        self, request: pb.RefreshDraftRequest, context: Context
    ) -> pb.RefreshDraftResponse:
        command = parse_request(request, request.request_id)
        invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        await changing.mark_for_refresh(self._engine, tenant(), command, invoice_id)
        return pb.RefreshDraftResponse(invoice=await self._refreshed(invoice_id))

    async def AdjustFee(
        self, request: pb.AdjustFeeRequest, context: Context
    ) -> pb.AdjustFeeResponse:
        command = parse_request(request, request.request_id)
        faults = Faults()
        with faults.gathered():
            invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        with faults.gathered():
            fee = parse_adjusted_fee(request.adjusted_fee, "adjusted_fee")
        faults.check()
        await changing.adjust_fees(self._engine, tenant(), command, invoice_id, [fee])
        return pb.AdjustFeeResponse(invoice=await self._refreshed(invoice_id))

    async def FinalizeInvoice(
        self, request: pb.FinalizeInvoiceRequest, context: Context
    ) -> pb.FinalizeInvoiceResponse:
        command = parse_request(request, request.request_id)
        invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        await changing.make_due(self._engine, tenant(), command, invoice_id, now=self._clock.now())
        with suppress(*PASSING):  # What stands half way then is gone on with in the background.
            await self._finalizer.finalize(tenant(), [invoice_id])
        self._committed()
        invoice = await reading.get_invoice(self._engine, tenant(), invoice_id=invoice_id)
        return pb.FinalizeInvoiceResponse(invoice=invoice_message(invoice))

    async def VoidInvoice(
        self, request: pb.VoidInvoiceRequest, context: Context
    ) -> pb.VoidInvoiceResponse:
        command = parse_request(request, request.request_id)
        faults = Faults()
        with faults.gathered():
            invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        with faults.gathered():
            reason = parse_text(request.reason, "reason", bytes_max=REASON_BYTES_MAX)
        faults.check()
        answer = await voiding.void_invoice(
            self._engine, tenant(), command, invoice_id, reason=reason, now=self._clock.now()
        )
        self._committed()
        return answer

    async def ReissueInvoice(
        self, request: pb.ReissueInvoiceRequest, context: Context
    ) -> pb.ReissueInvoiceResponse:
        command = parse_request(request, request.request_id)
        invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        fees = parse_adjusted_fees(request.adjusted_fees)
        await self._returner.give_back(tenant(), [invoice_id])
        answer = await voiding.reissue_invoice(
            self._engine, tenant(), command, invoice_id, fees, now=self._clock.now()
        )
        self._committed()
        return answer

    async def _refreshed(self, invoice_id: UUID) -> Invoice:
        """Return an invoice; a draft is rated before. What changes meanwhile is rated soon."""
        await self._drafter.refresh(tenant(), [invoice_id])
        self._committed()
        invoice = await reading.get_invoice(self._engine, tenant(), invoice_id=invoice_id)
        return invoice_message(invoice)
