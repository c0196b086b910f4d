"""The gRPC face of payments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.wire import (
    Faults,
    fitting,
    page_token,
    parse_money,
    parse_page,
    parse_request,
    parse_text,
    parse_timestamp,
    parse_uuid,
)
from services.invoicing.api.parsing import parse_before, present
from services.invoicing.domain.payment import PaymentMethod
from services.invoicing.operations import charging, paying
from services.invoicing.operations.paying import Received
from services.invoicing.operations.payment_messages import payment_message, payment_method_message
from tally.invoicing.v1 import payment_service_pb2 as pb
from tally.invoicing.v1.payment_service_pb2_grpc import PaymentServiceServicer

PROVIDERS = ("stripe",)
Context = grpc.aio.ServicerContext[Any, Any]


class PaymentServicer(PaymentServiceServicer):
    """Serves payments."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed  # Called after each commit that may have announced facts.

    async def RecordPayment(
        self, request: pb.RecordPaymentRequest, context: Context
    ) -> pb.RecordPaymentResponse:
        now = self._clock.now()
        answer = await paying.record_payment(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_received(request, now=now),
            now=now,
        )
        self._committed()
        return answer

    async def GetPayment(
        self, request: pb.GetPaymentRequest, context: Context
    ) -> pb.GetPaymentResponse:
        payment_id = parse_uuid(request.payment_id, "payment_id")
        payment = await paying.get_payment(self._engine, tenant(), payment_id)
        return pb.GetPaymentResponse(payment=payment_message(payment))

    async def ListPayments(
        self, request: pb.ListPaymentsRequest, context: Context
    ) -> pb.ListPaymentsResponse:
        page = parse_page(request.page_size, request.page_token)
        found = await paying.list_payments(
            self._engine,
            tenant(),
            customer_id=parse_text(request.customer_id, "customer_id", required=False),
            invoice_id=parse_uuid(request.invoice_id, "invoice_id") if request.invoice_id else None,
            before=parse_before(page.token),
            limit=page.size + 1,
        )
        shown = fitting([payment_message(payment) for _, payment in found[: page.size]])
        more = len(found) > len(shown)
        return pb.ListPaymentsResponse(
            payments=shown, next_page_token=page_token(found[len(shown) - 1][0]) if more else ""
        )

    async def SetPaymentMethod(
        self, request: pb.SetPaymentMethodRequest, context: Context
    ) -> pb.SetPaymentMethodResponse:
        return await charging.set_method(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_method(present(request, "payment_method").payment_method),
        )

    async def GetPaymentMethod(
        self, request: pb.GetPaymentMethodRequest, context: Context
    ) -> pb.GetPaymentMethodResponse:
        customer_id = parse_text(request.customer_id, "customer_id")
        method = await charging.get_method(self._engine, tenant(), customer_id)
        return pb.GetPaymentMethodResponse(payment_method=payment_method_message(method))

    async def RemovePaymentMethod(
        self, request: pb.RemovePaymentMethodRequest, context: Context
    ) -> pb.RemovePaymentMethodResponse:
        return await charging.remove_method(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_text(request.customer_id, "customer_id"),
        )

    async def ChargeInvoice(
        self, request: pb.ChargeInvoiceRequest, context: Context
    ) -> pb.ChargeInvoiceResponse:
        answer = await charging.charge_invoice(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_uuid(request.invoice_id, "invoice_id"),
            now=self._clock.now(),
        )
        self._committed()
        return answer


def parse_method(message: pb.PaymentMethod) -> PaymentMethod:
    """Read what a customer pays with.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    for name in ("customer_id", "provider_customer_id", "provider_method_id"):
        with faults.gathered():
            parse_text(getattr(message, name), f"payment_method.{name}")
    if message.provider not in PROVIDERS:
        faults.add("payment_method.provider", f"is none of {', '.join(PROVIDERS)}")
    faults.check()
    return PaymentMethod(
        message.customer_id,
        message.provider,
        message.provider_customer_id,
        message.provider_method_id,
    )


def parse_received(request: pb.RecordPaymentRequest, *, now: datetime) -> Received:
    """Read a manual payment, which was received at `now` at the latest.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    received_at: datetime | None = None
    with faults.gathered():
        invoice_id = parse_uuid(request.invoice_id, "invoice_id")
    with faults.gathered():
        amount = parse_money(present(request, "amount").amount, "amount")
        if amount.amount_minor <= 0:
            faults.add("amount.amount_minor", f"is {amount.amount_minor}, must be above 0")
    with faults.gathered():
        parse_text(request.reference, "reference", required=False)
    with faults.gathered():
        if request.HasField("received_at"):
            received_at = parse_timestamp(request.received_at, "received_at")
            if received_at > now:
                faults.add("received_at", "is in the future")
    faults.check()
    return Received(invoice_id, amount, request.reference, received_at)
