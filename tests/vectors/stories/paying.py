"""Cards in stories: how a payment is declined."""

from __future__ import annotations

from tally.invoicing.v1.payment_service_pb2 import (
    ChargeInvoiceRequest,
    PaymentMethod,
    SetPaymentMethodRequest,
)
from tests.vectors.given import Given
from tests.vectors.stories.world import World, request_id

DECLINED = "pm_declined"  # A card that the provider refuses to charge.


async def decline(world: World, action: Given) -> None:
    """Have an invoice charged to a card that is declined."""
    invoice = await world.find(action.value("invoice"))
    method = PaymentMethod(
        customer_id=invoice.customer_id,
        provider="stripe",
        provider_customer_id="cus_1",
        provider_method_id=DECLINED,
    )
    await world.client.payments.SetPaymentMethod(
        SetPaymentMethodRequest(request_id=request_id(), payment_method=method)
    )
    await world.client.payments.ChargeInvoice(
        ChargeInvoiceRequest(request_id=request_id(), invoice_id=invoice.invoice_id)
    )
