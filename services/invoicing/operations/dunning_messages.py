"""The dunning campaign and payment requests, as the contracts say them."""

from __future__ import annotations

from libs.money import Money
from libs.wire import money_message, timestamp
from services.invoicing.domain.dunning import Campaign, PaymentRequest
from tally.invoicing.v1 import dunning_service_pb2 as pb


def campaign_message(campaign: Campaign) -> pb.DunningCampaign:
    """Write the campaign, its thresholds by currency."""
    return pb.DunningCampaign(
        step_days=campaign.step_days,
        thresholds=[
            money_message(Money(currency, least))
            for currency, least in sorted(campaign.thresholds.items())
        ],
    )


def request_message(request: PaymentRequest) -> pb.PaymentRequest:
    """Write a payment request."""
    return pb.PaymentRequest(
        payment_request_id=str(request.payment_request_id),
        customer_id=request.customer_id,
        amount=money_message(request.amount),
        due_minor=request.due_minor,
        invoices=[
            pb.RequestedInvoice(
                invoice_id=str(one.invoice_id),
                number=one.number,
                requested_minor=one.requested_minor,
                due_minor=one.due_minor,
            )
            for one in request.invoices
        ],
        step=request.step,
        created_at=timestamp(request.created_at),
    )
