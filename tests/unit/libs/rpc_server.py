"""A small gRPC server in the test's process, behind the interceptor of every service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from libs.auth import Authenticator
from libs.errors import NotFound
from libs.rpc import ServerInterceptor
from tally.internal.v1 import fact_service_pb2, fact_service_pb2_grpc
from tally.wallet.v1 import hold_service_pb2, hold_service_pb2_grpc

Authorize = Callable[[hold_service_pb2.AuthorizeRequest], Awaitable[str]]


class Holds(hold_service_pb2_grpc.HoldServiceServicer):
    """Answers Authorize with the hold id that `answer` gives, or with what it raises."""

    def __init__(self, answer: Authorize) -> None:
        self._answer = answer

    async def Authorize(
        self, request: hold_service_pb2.AuthorizeRequest, context: Any
    ) -> hold_service_pb2.AuthorizeResponse:
        hold = hold_service_pb2.Hold(hold_id=await self._answer(request))
        return hold_service_pb2.AuthorizeResponse(hold=hold)

    async def _refuse(self, request: Any, context: Any) -> Any:
        raise NotFound("there are no holds here", reason="HOLD_NOT_FOUND")

    Capture = Release = ExtendHold = GetHold = ListHolds = _refuse

    async def MeterSession(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        raise NotFound("there are no holds here", reason="HOLD_NOT_FOUND")
        yield  # Makes it a stream.


class Facts(fact_service_pb2_grpc.FactServiceServicer):
    """Streams the facts 1 to `count`, then raises `error` if there is one."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self._count = count
        self._error = error

    async def StreamFacts(
        self, request: fact_service_pb2.StreamFactsRequest, context: Any
    ) -> AsyncIterator[fact_service_pb2.StreamFactsResponse]:
        for seq in range(request.after_seq + 1, self._count + 1):
            yield fact_service_pb2.StreamFactsResponse(seq=seq)
        if self._error is not None:
            raise self._error

    async def GetOutboxHead(
        self, request: fact_service_pb2.GetOutboxHeadRequest, context: Any
    ) -> fact_service_pb2.GetOutboxHeadResponse:
        return fact_service_pb2.GetOutboxHeadResponse(seq=self._count)


@asynccontextmanager
async def serving(
    keys_file: str,
    *,
    authorize: Authorize | None = None,
    facts: Facts | None = None,
    unary_seconds_max: float = 30,
    calls_max: int = 1_000,
) -> AsyncIterator[str]:
    """Serve what is given on a free port; give its address."""
    interceptor = ServerInterceptor(
        Authenticator(keys_file), unary_seconds_max=unary_seconds_max, calls_max=calls_max
    )
    server = grpc.aio.server(interceptors=[interceptor])
    if authorize is not None:
        hold_service_pb2_grpc.add_HoldServiceServicer_to_server(Holds(authorize), server)
    if facts is not None:
        fact_service_pb2_grpc.add_FactServiceServicer_to_server(facts, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
