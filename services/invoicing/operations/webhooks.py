"""Endpoints of webhooks, and what becomes of their deliveries: one transaction an operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.webhook import (
    SECRETS_OVERLAP,
    Answer,
    Delivery,
    DeliveryStatus,
    Endpoint,
    next_attempt_at,
)
from services.invoicing.operations.webhook_messages import delivery_message, endpoint_message
from services.invoicing.store import webhooks as store
from tally.invoicing.v1 import webhook_service_pb2 as pb

ERROR_CHARACTERS_MAX = 500


async def create_endpoint(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    url: str,
    fact_types: Sequence[str],
    *,
    secret: str,
    now: datetime,
) -> pb.CreateWebhookEndpointResponse:
    """Store a new endpoint; `secret` signs its deliveries."""
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreateWebhookEndpointResponse)
        if earlier is not None:
            return earlier
        endpoint = Endpoint(
            endpoint_id=uuid4(),
            url=url,
            fact_types=tuple(fact_types),
            disabled=False,
            secret=secret,
            previous_secret="",
            previous_secret_until=None,
            created_at=now,
        )
        await store.save_endpoint(conn, tenant, endpoint)
        answer = pb.CreateWebhookEndpointResponse(
            webhook_endpoint=endpoint_message(endpoint), secret=secret
        )
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def update_endpoint(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    endpoint_id: UUID,
    url: str,
    fact_types: Sequence[str],
    *,
    disabled: bool,
) -> pb.UpdateWebhookEndpointResponse:
    """Change an endpoint.

    Raises:
        WebhookEndpointNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.UpdateWebhookEndpointResponse)
        if earlier is not None:
            return earlier
        before = await store.lock_endpoint(conn, tenant, endpoint_id)
        changed = replace(before, url=url, fact_types=tuple(fact_types), disabled=disabled)
        await store.save_endpoint(conn, tenant, changed)
        answer = pb.UpdateWebhookEndpointResponse(webhook_endpoint=endpoint_message(changed))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def rotate_secret(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    endpoint_id: UUID,
    *,
    secret: str,
    now: datetime,
) -> pb.RotateWebhookSecretResponse:
    """Give an endpoint a new secret; the one before signs, too, for a day.

    Raises:
        WebhookEndpointNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.RotateWebhookSecretResponse)
        if earlier is not None:
            return earlier
        before = await store.lock_endpoint(conn, tenant, endpoint_id)
        rotated = replace(
            before,
            secret=secret,
            previous_secret=before.secret,
            previous_secret_until=now + SECRETS_OVERLAP,
        )
        await store.save_endpoint(conn, tenant, rotated)
        answer = pb.RotateWebhookSecretResponse(
            webhook_endpoint=endpoint_message(rotated), secret=secret
        )
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def delete_endpoint(
    engine: AsyncEngine, tenant: Tenant, request: Request, endpoint_id: UUID
) -> pb.DeleteWebhookEndpointResponse:
    """Delete an endpoint with its deliveries.

    Raises:
        WebhookEndpointNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.DeleteWebhookEndpointResponse)
        if earlier is not None:
            return earlier
        await store.lock_endpoint(conn, tenant, endpoint_id)
        await store.delete_endpoint(conn, tenant, endpoint_id)
        answer = pb.DeleteWebhookEndpointResponse()
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def list_endpoints(
    engine: AsyncEngine, tenant: Tenant, *, before: int | None, limit: int
) -> list[tuple[int, Endpoint]]:
    """Return endpoints, newest first, each with its ordinal to page by."""
    async with begin(engine, tenant) as conn:
        return await store.list_endpoints(conn, tenant, before=before, limit=limit)


async def list_deliveries(
    engine: AsyncEngine,
    tenant: Tenant,
    *,
    endpoint_id: UUID | None,
    status: DeliveryStatus | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, Delivery]]:
    """Return deliveries, newest first, each with its ordinal to page by."""
    async with begin(engine, tenant) as conn:
        return await store.list_deliveries(
            conn, tenant, endpoint_id=endpoint_id, status=status, before=before, limit=limit
        )


async def replay(
    engine: AsyncEngine, tenant: Tenant, request: Request, delivery_id: UUID, *, now: datetime
) -> pb.ReplayWebhookDeliveryResponse:
    """Have a delivery sent again, as if it were new.

    Raises:
        WebhookDeliveryNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ReplayWebhookDeliveryResponse)
        if earlier is not None:
            return earlier
        await store.replay(conn, tenant, delivery_id, now=now)
        replayed = await store.load_delivery(conn, tenant, delivery_id)
        answer = pb.ReplayWebhookDeliveryResponse(webhook_delivery=delivery_message(replayed))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def take_answer(
    engine: AsyncEngine,
    tenant: Tenant,
    delivery: Delivery,
    answer: Answer,
    *,
    now: datetime,
    draw: int,
) -> None:
    """Store what came of an attempt, and when there is another; `draw` is its jitter, 0 to 999."""
    if answer.accepted:
        status, retry_at = DeliveryStatus.SUCCEEDED, None
    else:
        retry_at = next_attempt_at(delivery.attempts, delivery.give_up_at, now=now, draw=draw)
        status = DeliveryStatus.FAILED if retry_at is None else DeliveryStatus.PENDING
    attempted = replace(
        delivery,
        status=status,
        last_status_code=answer.status_code,
        last_error=answer.error[:ERROR_CHARACTERS_MAX].replace("\x00", ""),
        next_attempt_at=retry_at,
    )
    async with begin(engine, tenant) as conn:
        await store.save_attempt(conn, tenant, delivery, attempted)
