"""Facts are sent to webhooks: signed, again after failures, and past those that hang."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cli.client import SuiteClient
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.payment_service_pb2 import RecordPaymentRequest
from tally.invoicing.v1.webhook_service_pb2 import (
    CreateWebhookEndpointRequest,
    CreateWebhookEndpointResponse,
    DeleteWebhookEndpointRequest,
    ListWebhookDeliveriesRequest,
    ReplayWebhookDeliveryRequest,
    RotateWebhookSecretRequest,
    WebhookDelivery,
    WebhookDeliveryStatus,
)
from tally.rating.v1.plan_service_pb2 import Timing
from tests.receiver import Receiver, receiver
from tests.scenario.builders import invoices, sell, subscribe
from tests.suite import Suite
from tests.wait import until

JAN_1 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def target(suite: Suite) -> Iterator[Receiver]:
    """Start invoicing anew, so that it may send to a server on the loopback."""
    with receiver() as served:
        suite.stack.stop_service("invoicing")
        extra = {"INVOICING_WEBHOOK_PRIVATE": "allow"}
        suite.stack.start_service("invoicing", extra_env=extra)
        yield served


async def endpoint(
    client: SuiteClient, url: str, *fact_types: str
) -> CreateWebhookEndpointResponse:
    return await client.webhooks.CreateWebhookEndpoint(
        CreateWebhookEndpointRequest(request_id=str(uuid4()), url=url, fact_types=fact_types)
    )


async def deliveries(
    client: SuiteClient, made: CreateWebhookEndpointResponse
) -> list[WebhookDelivery]:
    """Return an endpoint's deliveries, oldest first."""
    asked = ListWebhookDeliveriesRequest(
        webhook_endpoint_id=made.webhook_endpoint.webhook_endpoint_id
    )
    found = (await client.webhooks.ListWebhookDeliveries(asked)).webhook_deliveries
    return list(reversed(found))


async def test_facts_reach_endpoints_signed_and_in_spite_of_others_that_fail(
    suite: Suite, target: Receiver
) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        good = await endpoint(client, f"{target.url}/recovers", "InvoiceFinalized")
        lost = await endpoint(client, f"{target.url}/redirects", "InvoiceFinalized")
        await sell(client, base_amount="100", base_timing=Timing.TIMING_IN_ADVANCE)
        await subscribe(client, "acme", JAN_1)
        await suite.advance(JAN_1 + HOUR)
        [invoice] = await invoices(client)

        # The first answer was 500: the same was sent again some seconds later.
        first, again = target.at("/recovers")
        assert first.body == again.body
        assert first.signed_by(good.secret) and again.signed_by(good.secret)
        told, [delivery] = json.loads(again.body), await deliveries(client, good)
        assert (told["id"], told["type"]) == (delivery.event_id, "InvoiceFinalized")
        assert told["time"].startswith("2026-01-01T0")
        assert told["data"]["invoice"]["number"] == invoice.number
        assert delivery.status == WebhookDeliveryStatus.WEBHOOK_DELIVERY_STATUS_SUCCEEDED
        assert (delivery.attempts, delivery.last_status_code) == (2, 204)

        [refused] = await deliveries(client, lost)
        assert refused.status == WebhookDeliveryStatus.WEBHOOK_DELIVERY_STATUS_PENDING
        assert refused.last_status_code == 302 and refused.attempts > 5
        assert target.at("/reached") == []

        # A replay after a rotation is signed by both secrets.
        rotated = await client.webhooks.RotateWebhookSecret(
            RotateWebhookSecretRequest(
                request_id=str(uuid4()),
                webhook_endpoint_id=good.webhook_endpoint.webhook_endpoint_id,
            )
        )
        await client.webhooks.ReplayWebhookDelivery(
            ReplayWebhookDeliveryRequest(
                request_id=str(uuid4()), webhook_delivery_id=delivery.webhook_delivery_id
            )
        )
        await suite.settle()
        replayed = target.at("/recovers")[-1]
        assert len(target.at("/recovers")) == 3 and replayed.body == again.body
        assert replayed.signed_by(good.secret) and replayed.signed_by(rotated.secret)

        # One that hangs holds up no other.
        hanging = await endpoint(client, f"{target.url}/hangs")
        await endpoint(client, f"{target.url}/takes", "InvoicePaid")
        money = Money(currency_code="USD", amount_minor=10_000)
        await client.payments.RecordPayment(
            RecordPaymentRequest(
                request_id=str(uuid4()), invoice_id=invoice.invoice_id, amount=money
            )
        )
        await until(lambda: target.at("/takes") and target.at("/hangs"), seconds=8)
        waiting = await deliveries(client, hanging)
        assert {one.fact_type for one in waiting} == {"PaymentSucceeded", "InvoicePaid"}
        assert {one.last_error for one in waiting} == {""}  # They are still at it.
        await client.webhooks.DeleteWebhookEndpoint(
            DeleteWebhookEndpointRequest(
                request_id=str(uuid4()),
                webhook_endpoint_id=hanging.webhook_endpoint.webhook_endpoint_id,
            )
        )
        assert await deliveries(client, hanging) == []
