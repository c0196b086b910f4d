"""The gRPC face of billing by hand."""

from __future__ import annotations

from typing import Any

import grpc

from libs.auth import tenant
from libs.wire import Faults, parse_request, parse_text, parse_uuid
from services.invoicing.api.add_ons import parse_one_off
from services.invoicing.loops import Parts
from services.invoicing.operations import voiding
from services.invoicing.operations.one_off import create_one_off
from services.invoicing.returner import Returner
from tally.invoicing.v1 import billing_service_pb2 as pb
from tally.invoicing.v1.billing_service_pb2_grpc import BillingServiceServicer

REASON_BYTES_MAX = 500

Context = grpc.aio.ServicerContext[Any, Any]


class BillingServicer(BillingServiceServicer):
    """Serves who makes and changes invoices by hand."""

    def __init__(self, parts: Parts) -> None:
        self._engine = parts.engine
        self._clock = parts.clock
        self._committed = parts.committed
        self._returner = Returner(parts)

    async def CreateOneOffInvoice(
        self, request: pb.CreateOneOffInvoiceRequest, context: Context
    ) -> pb.CreateOneOffInvoiceResponse:
        command = parse_request(request, request.request_id)
        order = parse_one_off(request)
        now = self._clock.now()
        answer = await create_one_off(self._engine, tenant(), command, order, now=now)
        self._committed()
        return answer

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
        await self._returner.give_back(tenant(), [invoice_id])
        answer = await voiding.reissue_invoice(
            self._engine, tenant(), command, invoice_id, now=self._clock.now()
        )
        self._committed()
        return answer
