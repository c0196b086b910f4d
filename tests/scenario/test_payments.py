"""Invoices are paid: by hand in parts, and by a card that is declined first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cli.client import SuiteClient
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.dunning_service_pb2 import (
    DunningCampaign,
    ListPaymentRequestsRequest,
    SetDunningCampaignRequest,
)
from tally.invoicing.v1.invoice_service_pb2 import GetInvoiceRequest, Invoice, ListInvoicesRequest
from tally.invoicing.v1.payment_service_pb2 import (
    InvoicePaymentStatus,
    ListPaymentsRequest,
    PaymentMethod,
    PaymentStatus,
    RecordPaymentRequest,
    SetPaymentMethodRequest,
)
from tally.invoicing.v1.tenant_service_pb2 import BillingEntity, UpdateBillingEntityRequest
from tally.rating.v1.plan_service_pb2 import Timing
from tests.fake_stripe import Stripe, charging, message, send, signature
from tests.scenario.builders import invoices, sell, subscribe
from tests.suite import Suite

JAN_1, FEB_1, MAR_1 = (datetime(2026, n, 1, 5, tzinfo=UTC) for n in range(1, 4))  # In New York.
JULY_1 = datetime(2026, 7, 1, 4, tzinfo=UTC)
DAY = timedelta(days=1)
ZONE = "America/New_York"


@pytest.fixture(scope="module")
def stripe(suite: Suite) -> Iterator[Stripe]:
    """Start invoicing anew, so that it charges by a fake of Stripe."""
    with charging(suite) as found:
        yield found


async def bill(suite: Suite, client: SuiteClient, at: datetime) -> Invoice:
    """Bill a month of $100 in advance to "acme" in New York, due within 14 days."""
    entity = BillingEntity(name="Seller", net_terms_days=14)
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
    )
    await sell(client, base_amount="100", base_timing=Timing.TIMING_IN_ADVANCE)
    await subscribe(client, "acme", at, time_zone=ZONE)
    await suite.advance(at + timedelta(hours=1))
    [invoice] = await invoices(client)
    return invoice


async def state(client: SuiteClient, invoice: Invoice) -> tuple[str, int, bool]:
    """Return an invoice's payment status, what is due, and whether it is overdue."""
    asked = GetInvoiceRequest(invoice_id=invoice.invoice_id)
    found = (await client.invoices.GetInvoice(asked)).invoice
    name = InvoicePaymentStatus.Name(found.payment_status)
    status = name.removeprefix("INVOICE_PAYMENT_STATUS_").lower()
    return status, found.due_minor, found.overdue


async def pay(client: SuiteClient, invoice: Invoice, amount_minor: int) -> None:
    money = Money(currency_code="USD", amount_minor=amount_minor)
    await client.payments.RecordPayment(
        RecordPaymentRequest(
            request_id=str(uuid4()), invoice_id=invoice.invoice_id, amount=money, reference="wire"
        )
    )


async def test_parts_are_paid_by_hand_and_what_is_left_falls_overdue_until_it_is_paid(
    suite: Suite,
) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        invoice = await bill(suite, client, JAN_1)
        assert await state(client, invoice) == ("pending", 10_000, False)
        await pay(client, invoice, 4_000)
        assert await state(client, invoice) == ("partially_paid", 6_000, False)

        # Issued on Jan 1 in New York, due on Jan 15: overdue when that ends there.
        ends = datetime(2026, 1, 16, 5, tzinfo=UTC)
        await suite.advance(ends - timedelta(seconds=1))
        assert await state(client, invoice) == ("partially_paid", 6_000, False)
        await suite.advance(ends)
        assert await state(client, invoice) == ("partially_paid", 6_000, True)
        overdue = (await client.invoices.ListInvoices(ListInvoicesRequest(overdue=True))).invoices
        assert [one.number for one in overdue] == [invoice.number]

        await pay(client, invoice, 6_000)
        assert await state(client, invoice) == ("succeeded", 0, False)
        found = (await client.payments.ListPayments(ListPaymentsRequest())).payments
        assert [one.amount.amount_minor for one in found] == [6_000, 4_000]


async def give_card(client: SuiteClient, card: str) -> None:
    method = PaymentMethod(
        customer_id="acme",
        provider="stripe",
        provider_customer_id="cus_1",
        provider_method_id=card,
    )
    await client.payments.SetPaymentMethod(
        SetPaymentMethodRequest(request_id=str(uuid4()), payment_method=method)
    )


async def test_a_declined_card_is_charged_again_until_it_pays_and_may_be_disputed(
    suite: Suite, stripe: Stripe
) -> None:
    await suite.advance(FEB_1)
    async with suite.client(suite.new_tenant()) as client:
        stripe.fake.cards["pm_1"] = "insufficient_funds"
        first = await bill(suite, client, FEB_1)  # Before there is a card.
        await give_card(client, "pm_1")
        assert await state(client, first) == ("pending", 10_000, False)
        await suite.advance(MAR_1 + 2 * DAY)  # The first retry is declined, too.
        [_, second] = await invoices(client)
        assert await state(client, second) == ("failed", 10_000, False)
        stripe.fake.cards["pm_1"] = "succeeded"
        await suite.advance(MAR_1 + 5 * DAY)
        assert await state(client, second) == ("succeeded", 0, False)
        found = (await client.payments.ListPayments(ListPaymentsRequest())).payments
        statuses = [PaymentStatus.Name(one.status) for one in found]
        assert [one.rpartition("_")[2] for one in statuses] == ["SUCCEEDED", "FAILED", "FAILED"]
        assert len({one["metadata"]["tally_payment_id"] for one in stripe.fake.intents}) == 3

        dispute = {"id": "dp_1", "object": "dispute", "payment_intent": found[0].reference}
        body = message("charge.dispute.created", {**dispute, "status": "needs_response"})
        told = await asyncio.to_thread(send, stripe.events_address, body, signature(body))
        assert told == 200
        asked = GetInvoiceRequest(invoice_id=second.invoice_id)
        assert (await client.invoices.GetInvoice(asked)).invoice.disputed


async def test_an_overdue_invoice_is_paid_by_a_new_card_at_a_step_of_dunning(
    suite: Suite, stripe: Stripe
) -> None:
    await suite.advance(JULY_1)
    async with suite.client(suite.new_tenant()) as client:
        thresholds = [Money(currency_code="USD", amount_minor=5_000)]
        campaign = DunningCampaign(step_days=[1, 8], thresholds=thresholds)
        await client.dunning.SetDunningCampaign(
            SetDunningCampaignRequest(request_id=str(uuid4()), campaign=campaign)
        )
        invoice = await bill(suite, client, JULY_1)
        await suite.advance(JULY_1 + 15 * DAY)  # A day after it was due, on July 15.
        [asked] = (
            await client.dunning.ListPaymentRequests(ListPaymentRequestsRequest())
        ).payment_requests
        assert (asked.step, asked.amount.amount_minor, asked.due_minor) == (1, 10_000, 10_000)
        assert [one.number for one in asked.invoices] == [invoice.number]
        assert await state(client, invoice) == ("pending", 10_000, True)

        await give_card(client, "pm_new")
        await suite.advance(JULY_1 + 21 * DAY)
        assert await state(client, invoice) == ("pending", 10_000, True)
        await suite.advance(JULY_1 + 22 * DAY)
        assert await state(client, invoice) == ("succeeded", 0, False)
        found = (
            await client.dunning.ListPaymentRequests(ListPaymentRequestsRequest())
        ).payment_requests
        assert [(one.step, one.due_minor) for one in found] == [(2, 0), (1, 0)]
