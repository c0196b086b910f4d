"""The gRPC face of billing by hand."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any
from uuid import UUID

import grpc

from libs.auth import tenant
from libs.wire import Faults, parse_request, parse_text, parse_timestamp, parse_uuid, timestamp
from libs.worker import PASSING
from services.invoicing.api.add_ons import (
    parse_adjusted_fee,
    parse_adjusted_fees,
    parse_one_off,
)
from services.invoicing.billing_run import run_billing
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.loops import Drafter, Finalizer, Parts
from services.invoicing.operations import changing, reading, voiding
from services.invoicing.operations.explaining import explain_line
from services.invoicing.operations.messages import invoice_message
from services.invoicing.operations.one_off import create_one_off
from services.invoicing.operations.previewing import next_due, preview
from services.invoicing.returner import Returner
from tally.invoicing.v1 import billing_service_pb2 as pb
from tally.invoicing.v1.billing_service_pb2_grpc import BillingServiceServicer
from tally.invoicing.v1.invoice_service_pb2 import Invoice

REASON_BYTES_MAX = 500

Context = grpc.aio.ServicerContext[Any, Any]


class BillingServicer(BillingServiceServicer):
    """Serves who makes and changes invoices by hand."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
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

    async def PreviewInvoice(
        self, request: pb.PreviewInvoiceRequest, context: Context
    ) -> pb.PreviewInvoiceResponse:
        faults = Faults()
        named = bool(request.subscription_id)
        with faults.gathered():
            parse_text(request.customer_id, "customer_id", required=not named)
        with faults.gathered():
            parse_text(request.subscription_id, "subscription_id", required=False)
        faults.check()
        rating, now = self._parts.rating, self._clock.now()
        upcoming = await rating.upcoming(tenant(), request.customer_id, request.subscription_id)
        due = next_due(upcoming)
        if due is None:
            return pb.PreviewInvoiceResponse()
        invoice, missing = None, [period_id for period_id, _ in due.periods]
        rated: dict[UUID, RatedPeriod] = {}
        while missing:
            rated |= {one: await rating.rate(tenant(), one) for one in missing}
            invoice, missing = await preview(self._engine, tenant(), due, rated, now=now)
        assert invoice is not None
        message = invoice_message(invoice)
        message.ClearField("invoice_id")
        return pb.PreviewInvoiceResponse(invoice=message, due_at=timestamp(due.due_at))

    def RunBilling(
        self, request: pb.RunBillingRequest, context: Context
    ) -> AsyncGenerator[pb.RunBillingResponse, None]:
        faults = Faults()
        as_of = None
        with faults.gathered():
            parse_text(request.customer_id, "customer_id", required=False)
        if request.HasField("as_of"):
            with faults.gathered():
                as_of = parse_timestamp(request.as_of, "as_of")
        faults.check()
        return run_billing(
            self._parts,
            self._finalizer,
            tenant(),
            as_of=as_of,
            customer_id=request.customer_id,
            dry_run=request.dry_run,
        )

    def ExplainLine(
        self, request: pb.ExplainLineRequest, context: Context
    ) -> AsyncGenerator[pb.ExplainLineResponse, None]:
        faults = Faults()
        with faults.gathered():
            invoice_id = parse_uuid(request.invoice_id, "invoice_id")
        with faults.gathered():
            line_id = parse_uuid(request.line_id, "line_id")
        faults.check()
        return explain_line(self._engine, self._parts.rating, tenant(), invoice_id, line_id)

    async def _refreshed(self, invoice_id: UUID) -> Invoice:
        """Return an invoice; a draft is rated before. What changes meanwhile is rated soon."""
        await self._drafter.refresh(tenant(), [invoice_id])
        self._committed()
        invoice = await reading.get_invoice(self._engine, tenant(), invoice_id=invoice_id)
        return invoice_message(invoice)
