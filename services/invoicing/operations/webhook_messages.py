"""Webhooks as the contracts say them, and what is sent."""

from __future__ import annotations

import json

from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass

from libs.wire import optional_time, timestamp
from services.invoicing.domain.webhook import Delivery, Endpoint
from tally.invoicing.v1 import events_pb2
from tally.invoicing.v1 import webhook_service_pb2 as pb


def endpoint_message(endpoint: Endpoint) -> pb.WebhookEndpoint:
    """Write an endpoint, without its secrets."""
    return pb.WebhookEndpoint(
        webhook_endpoint_id=str(endpoint.endpoint_id),
        url=endpoint.url,
        fact_types=endpoint.fact_types,
        disabled=endpoint.disabled,
        created_at=timestamp(endpoint.created_at),
        previous_secret_until=optional_time(endpoint.previous_secret_until),
    )


def delivery_message(delivery: Delivery) -> pb.WebhookDelivery:
    """Write a delivery."""
    status = f"WEBHOOK_DELIVERY_STATUS_{delivery.status.upper()}"
    return pb.WebhookDelivery(
        webhook_delivery_id=str(delivery.delivery_id),
        webhook_endpoint_id=str(delivery.endpoint_id),
        event_id=str(delivery.event_id),
        fact_type=delivery.fact_type,
        status=pb.WebhookDeliveryStatus.Value(status),
        attempts=delivery.attempts,
        last_status_code=delivery.last_status_code,
        last_error=delivery.last_error,
        created_at=timestamp(delivery.created_at),
        next_attempt_at=optional_time(delivery.next_attempt_at),
    )


def body_of(delivery: Delivery) -> bytes:
    """Return what is sent: JSON with id, type, time, and in data the fact's own JSON form."""
    descriptor = events_pb2.DESCRIPTOR.message_types_by_name[delivery.fact_type]
    fact = GetMessageClass(descriptor).FromString(delivery.payload)
    content = {
        "id": str(delivery.event_id),
        "type": delivery.fact_type,
        "time": timestamp(delivery.created_at).ToJsonString(),
        "data": MessageToDict(fact),
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
