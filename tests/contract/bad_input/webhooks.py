"""What webhooks refuse, by request and field; their good requests, and what these need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from cli.client import SuiteClient
from tally.invoicing.v1.webhook_service_pb2 import (
    CreateWebhookEndpointRequest,
    ListWebhookDeliveriesRequest,
)
from tests.contract.bad_input.rules import PAGE, UUID, AnyValue, Fields, Refusal, Rule, uuid_of
from tests.wait import until

URL: Rule = {
    "absent": "",
    "malformed": "no url",
    "broken": "https://[::1",
    "scheme": "ftp://example.com/",
    "hostless": "https:///hook",
    "port": "https://example.com:99999/",
    "user": "https://user@example.com/",
    "fragment": "https://example.com/#top",
    "header": "https://example.com/ HTTP/1.1\r\nHost: inside",
    "foreign letters": "https://exämple.com/",
    "oversized": "https://example.com/" + "a" * 2_000,
}
FACT_TYPES: Rule = {
    "unknown": Refusal(["InvoicePaid", "NoFact"], field="fact_types[1]"),
    "internal": Refusal(["UnbilledAmountChanged"], field="fact_types[0]"),
    "twice": Refusal(["InvoicePaid", "InvoicePaid"], field="fact_types[1]"),
    "oversized": ["InvoicePaid"] * 100,
}
ENDPOINT = uuid_of("webhook_endpoint", "WEBHOOK_ENDPOINT_NOT_FOUND")

WEBHOOKS: Mapping[str, Fields] = {
    "tally.invoicing.v1.WebhookService.CreateWebhookEndpoint": {
        "request_id": UUID,
        "url": URL,
        "fact_types": FACT_TYPES,
    },
    "tally.invoicing.v1.WebhookService.UpdateWebhookEndpoint": {
        "request_id": UUID,
        "webhook_endpoint_id": ENDPOINT,
        "url": URL,
        "fact_types": FACT_TYPES,
        "disabled": AnyValue("yes or no"),
    },
    "tally.invoicing.v1.WebhookService.ListWebhookEndpoints": {**PAGE},
    "tally.invoicing.v1.WebhookService.DeleteWebhookEndpoint": {
        "request_id": UUID,
        "webhook_endpoint_id": ENDPOINT,
    },
    "tally.invoicing.v1.WebhookService.RotateWebhookSecret": {
        "request_id": UUID,
        "webhook_endpoint_id": ENDPOINT,
    },
    "tally.invoicing.v1.WebhookService.ListWebhookDeliveries": {
        "webhook_endpoint_id": {"malformed": "no-uuid", "oversized": "1" * 300},
        "status": {"malformed": 99},
        **PAGE,
    },
    "tally.invoicing.v1.WebhookService.ReplayWebhookDelivery": {
        "request_id": UUID,
        "webhook_delivery_id": uuid_of("webhook_delivery", "WEBHOOK_DELIVERY_NOT_FOUND"),
    },
}


def webhook_requests(
    world: Mapping[str, str], command: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return a good request of every method; what is sent to the loopback is refused."""
    service = "invoicing.v1.WebhookService"
    url = f"http://127.0.0.1:9/{uuid4()}"
    endpoint = {"webhook_endpoint_id": world["webhook_endpoint"]}
    return {
        f"{service}.CreateWebhookEndpoint": {**command, "url": url},
        f"{service}.UpdateWebhookEndpoint": {
            **command,
            **endpoint,
            "url": url,
            "fact_types": ["InvoicePaid", "InvoiceFinalized"],
        },
        f"{service}.ListWebhookEndpoints": {},
        f"{service}.DeleteWebhookEndpoint": {
            **command,
            "webhook_endpoint_id": world["deleted_endpoint"],
        },
        f"{service}.RotateWebhookSecret": {**command, **endpoint},
        f"{service}.ListWebhookDeliveries": {},
        f"{service}.ReplayWebhookDelivery": {
            **command,
            "webhook_delivery_id": world["webhook_delivery"],
        },
    }


async def endpoints(client: SuiteClient, world: Mapping[str, str]) -> dict[str, str]:
    """Create an endpoint for all facts, and one to delete; return their ids."""
    found = {}
    for key, fact_types in (("webhook_endpoint", []), ("deleted_endpoint", ["InvoiceDisputed"])):
        made = webhook_requests(world, {"request_id": str(uuid4())})
        fields = made["invoicing.v1.WebhookService.CreateWebhookEndpoint"]
        asked = CreateWebhookEndpointRequest(**fields, fact_types=fact_types)
        answer = await client.webhooks.CreateWebhookEndpoint(asked)
        found[key] = answer.webhook_endpoint.webhook_endpoint_id
    return found


async def delivery(client: SuiteClient) -> str:
    """Wait for a fact to be offered to the endpoint; return the id of its delivery."""

    async def offered() -> str:
        answer = await client.webhooks.ListWebhookDeliveries(ListWebhookDeliveriesRequest())
        found = answer.webhook_deliveries
        return found[0].webhook_delivery_id if found else ""

    return await until(offered, describe=lambda: "no fact was offered to a webhook")
