"""The gRPC face of webhooks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.wire import (
    Faults,
    fitting,
    page_token,
    parse_page,
    parse_request,
    parse_text,
    parse_uuid,
)
from services.invoicing.api.parsing import parse_before, parse_choice
from services.invoicing.domain.webhook import FACT_TYPES, DeliveryStatus
from services.invoicing.operations import webhooks
from services.invoicing.operations.webhook_messages import delivery_message, endpoint_message
from tally.invoicing.v1 import webhook_service_pb2 as pb
from tally.invoicing.v1.webhook_service_pb2_grpc import WebhookServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

URL_BYTES_MAX = 2_000


class WebhookServicer(WebhookServiceServicer):
    """Serves endpoints of webhooks and their deliveries."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed  # Called after each commit that may have left work.

    async def CreateWebhookEndpoint(
        self, request: pb.CreateWebhookEndpointRequest, context: Context
    ) -> pb.CreateWebhookEndpointResponse:
        faults = Faults()
        with faults.gathered():
            url = parse_url(request.url, "url")
        with faults.gathered():
            fact_types = parse_fact_types(request.fact_types, "fact_types")
        faults.check()
        return await webhooks.create_endpoint(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            url,
            fact_types,
            secret=new_secret(),
            now=self._clock.now(),
        )

    async def UpdateWebhookEndpoint(
        self, request: pb.UpdateWebhookEndpointRequest, context: Context
    ) -> pb.UpdateWebhookEndpointResponse:
        faults = Faults()
        with faults.gathered():
            endpoint_id = parse_uuid(request.webhook_endpoint_id, "webhook_endpoint_id")
        with faults.gathered():
            url = parse_url(request.url, "url")
        with faults.gathered():
            fact_types = parse_fact_types(request.fact_types, "fact_types")
        faults.check()
        answer = await webhooks.update_endpoint(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            endpoint_id,
            url,
            fact_types,
            disabled=request.disabled,
        )
        self._committed()
        return answer

    async def ListWebhookEndpoints(
        self, request: pb.ListWebhookEndpointsRequest, context: Context
    ) -> pb.ListWebhookEndpointsResponse:
        page = parse_page(request.page_size, request.page_token)
        found = await webhooks.list_endpoints(
            self._engine, tenant(), before=parse_before(page.token), limit=page.size + 1
        )
        shown = fitting([endpoint_message(one) for _, one in found[: page.size]])
        more = len(found) > len(shown)
        return pb.ListWebhookEndpointsResponse(
            webhook_endpoints=shown,
            next_page_token=page_token(found[len(shown) - 1][0]) if more else "",
        )

    async def DeleteWebhookEndpoint(
        self, request: pb.DeleteWebhookEndpointRequest, context: Context
    ) -> pb.DeleteWebhookEndpointResponse:
        endpoint_id = parse_uuid(request.webhook_endpoint_id, "webhook_endpoint_id")
        parsed = parse_request(request, request.request_id)
        return await webhooks.delete_endpoint(self._engine, tenant(), parsed, endpoint_id)

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Context
    ) -> pb.RotateWebhookSecretResponse:
        return await webhooks.rotate_secret(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_uuid(request.webhook_endpoint_id, "webhook_endpoint_id"),
            secret=new_secret(),
            now=self._clock.now(),
        )

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: Context
    ) -> pb.ListWebhookDeliveriesResponse:
        page = parse_page(request.page_size, request.page_token)
        named = request.webhook_endpoint_id
        status = parse_choice(
            request.status, pb.WebhookDeliveryStatus, "status", "WEBHOOK_DELIVERY_STATUS_"
        )
        found = await webhooks.list_deliveries(
            self._engine,
            tenant(),
            endpoint_id=parse_uuid(named, "webhook_endpoint_id") if named else None,
            status=DeliveryStatus(status) if status else None,
            before=parse_before(page.token),
            limit=page.size + 1,
        )
        shown = fitting([delivery_message(one) for _, one in found[: page.size]])
        more = len(found) > len(shown)
        return pb.ListWebhookDeliveriesResponse(
            webhook_deliveries=shown,
            next_page_token=page_token(found[len(shown) - 1][0]) if more else "",
        )

    async def ReplayWebhookDelivery(
        self, request: pb.ReplayWebhookDeliveryRequest, context: Context
    ) -> pb.ReplayWebhookDeliveryResponse:
        answer = await webhooks.replay(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_uuid(request.webhook_delivery_id, "webhook_delivery_id"),
            now=self._clock.now(),
        )
        self._committed()
        return answer


def new_secret() -> str:
    """Return a secret that nobody can guess: 256 bits."""
    return f"whsec_{secrets.token_hex(32)}"


def parse_url(text: str, field: str) -> str:
    """Read where to send facts.

    Raises:
        FieldInvalid: it is not http or https, or has parts that a request has no place for.
    """
    parse_text(text, field, bytes_max=URL_BYTES_MAX)
    if not all("!" <= character <= "~" for character in text):
        raise FieldInvalid(field, "holds characters other than the visible ones of ASCII")
    try:
        url = urlsplit(text)
        port_known = url.port is None or url.port > 0
    except ValueError as error:
        raise FieldInvalid(field, f"is no URL: {error}") from None
    if url.scheme not in ("https", "http") or not url.hostname or not port_known:
        raise FieldInvalid(field, "must be https://host… or http://host…")
    if "@" in url.netloc or "#" in text:
        raise FieldInvalid(field, "must have no user, no password and no fragment")
    return text


def parse_fact_types(names: Sequence[str], field: str) -> list[str]:
    """Read names of facts, each at most once.

    Raises:
        FieldInvalid: one is not known, or is named twice.
    """
    if len(names) > len(FACT_TYPES):
        raise FieldInvalid(field, f"are {len(names)}, at most {len(FACT_TYPES)} are allowed")
    for place, name in enumerate(names):
        if name not in FACT_TYPES:
            raise FieldInvalid(f"{field}[{place}]", f"is none of {', '.join(FACT_TYPES)}")
        if name in names[:place]:
            raise FieldInvalid(f"{field}[{place}]", f"{name} is named twice")
    return list(names)
