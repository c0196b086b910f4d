"""Calls to another service of the suite: token, deadline, retries, trace, errors as ours."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import Any, TypeVar

import grpc
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from libs.auth import TENANT_KEY, InternalToken
from libs.rpc import MESSAGE_BYTES_MAX
from libs.status import error_of
from libs.tenant import Tenant

Answer = TypeVar("Answer")

SECONDS_MAX = 10.0
STREAM_SECONDS_MAX = 60.0

# Every command carries a request id or is a query, so that each may be sent again.
# A name that gives several addresses is a service of several processes: calls go to each in turn.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 4 * MESSAGE_BYTES_MAX),
    ("grpc.use_local_subchannel_pool", 1),  # A channel's backoff is its own.
]


def channel(address: str, token: InternalToken) -> grpc.aio.Channel:
    """Return a channel to the service at host:port; every call presents `token`.

    Calls go in turn to all addresses that the host has. It connects at first use and again after
    a loss. What fails as UNAVAILABLE is sent again, up
    to four times within a second; every call made through it is part of the present trace.
    """
    traces = aio_client_interceptors()  # type: ignore[no-untyped-call]
    interceptors = [_UnaryToken(token), _StreamToken(token), *traces]
    return grpc.aio.insecure_channel(address, options=OPTIONS, interceptors=interceptors)


async def call(
    stub_method: Callable[..., Awaitable[Answer]],
    request: Any,
    *,
    tenant: Tenant | None,
    timeout: float = SECONDS_MAX,
) -> Answer:
    """Ask a peer for one answer, in the name of `tenant` or, with None, of the suite.

    Raises:
        Unavailable: the peer is away or too slow; the call may have taken effect.
        TallyError: what the peer refused, with its reason and metadata.
        PeerFailed: it answered with what no peer should.
    """
    try:
        return await stub_method(request, timeout=timeout, metadata=_named(tenant))
    except grpc.aio.AioRpcError as failed:
        raise error_of(failed, _name_of(request)) from None


async def stream(
    stub_method: Callable[..., AsyncIterable[Answer]],
    request: Any,
    *,
    tenant: Tenant | None,
    timeout: float = STREAM_SECONDS_MAX,
) -> AsyncGenerator[Answer, None]:
    """Yield the answers of a peer's stream. Errors as in `call`, at any point of it.

    Close it (`contextlib.aclosing`) when leaving early, or it stays open until the deadline.
    """
    answers: Any = stub_method(request, timeout=timeout, metadata=_named(tenant))
    try:
        async for answer in answers:
            yield answer
    except grpc.aio.AioRpcError as failed:
        raise error_of(failed, _name_of(request)) from None
    finally:
        answers.cancel()


class _UnaryToken(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, token: InternalToken) -> None:
        self._token = token

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_presented(client_call_details, self._token), request)


class _StreamToken(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, token: InternalToken) -> None:
        self._token = token

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_presented(client_call_details, self._token), request)


def _presented(
    details: grpc.aio.ClientCallDetails, token: InternalToken
) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()), *token.metadata())
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


def _named(tenant: Tenant | None) -> tuple[tuple[str, str], ...]:
    return () if tenant is None else ((TENANT_KEY, str(tenant)),)


def _name_of(request: Any) -> str:
    """Name the method by its request: each RPC has its own Request message."""
    return str(request.DESCRIPTOR.full_name).removesuffix("Request")
