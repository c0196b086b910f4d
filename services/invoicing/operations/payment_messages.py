"""Payments, as the contracts say them."""

from __future__ import annotations

from libs.wire import money_message, optional_time, timestamp
from services.invoicing.domain.payment import Payment, PaymentMethod, PaymentStatus
from tally.invoicing.v1 import payment_service_pb2 as pb

STATUS = {
    PaymentStatus.PROCESSING: pb.PAYMENT_STATUS_PROCESSING,
    PaymentStatus.SUCCEEDED: pb.PAYMENT_STATUS_SUCCEEDED,
    PaymentStatus.FAILED: pb.PAYMENT_STATUS_FAILED,
}


def payment_message(payment: Payment) -> pb.Payment:
    """Write a payment."""
    return pb.Payment(
        payment_id=str(payment.payment_id),
        invoice_id=str(payment.invoice_id),
        invoice_number=payment.invoice_number,
        customer_id=payment.customer_id,
        amount=money_message(payment.amount),
        status=STATUS[payment.status],
        provider=payment.provider,
        reference=payment.reference,
        received_at=optional_time(payment.received_at),
        attempt=payment.attempt,
        failure_code=payment.failure_code,
        created_at=timestamp(payment.created_at),
        disputed=payment.disputed,
    )


def payment_method_message(method: PaymentMethod) -> pb.PaymentMethod:
    """Write how a customer pays."""
    return pb.PaymentMethod(
        customer_id=method.customer_id,
        provider=method.provider,
        provider_customer_id=method.provider_customer_id,
        provider_method_id=method.provider_method_id,
    )
