"""A gate before the suite: it hands calls on, after a script of what goes wrong with the first."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from cli.client import service_descriptors
from tests.wait import until

Context = grpc.aio.ServicerContext[Any, Any]
HOST = "127.0.0.1"
HANG_SECONDS = 8  # Below the deadline that a client has by default.


@dataclass(slots=True)
class Seen:
    """What came through for one method."""

    attempts: int = 0
    request_ids: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)


class Gate(grpc.GenericRpcHandler):
    """One address for all services.

    `script` says how many connections are refused at first, and what the first calls are
    answered, each in turn: an error with `code`, `reason` and `retryDelayMs`, given instead of the
    service's answer or, with `after`, once the service has done its work; a long silence (`hang`);
    or the connection is cut once the service has done its work (`hangUp`). Later calls are handed
    on. With `tls` it speaks TLS only.
    """

    def __init__(
        self, addresses: Mapping[str, str], script: Mapping[str, Any], tls: ssl.SSLContext
    ) -> None:
        self._addresses = addresses
        self._tls = tls if script.get("tls") else None
        self._refusing: int = script.get("connectionsRefused", 0)
        self._answers: Iterator[dict[str, Any]] = iter(script.get("answers", []))
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._open: set[asyncio.StreamWriter] = set()
        self._inner_port = 0
        self.seen: dict[str, Seen] = defaultdict(Seen)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Give the address for as long as the block runs."""
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self,))
        self._inner_port = server.add_insecure_port(f"{HOST}:0")
        await server.start()
        door = await asyncio.start_server(self._enter, HOST, 0, ssl=self._tls)
        try:
            host = "localhost" if self._tls else HOST  # Certificates are for names.
            yield f"{host}:{door.sockets[0].getsockname()[1]}"
        finally:
            door.close()
            self._hang_up()
            await server.stop(None)
            for channel in self._channels.values():
                await channel.close()
            await until(lambda: not self._open, describe="connections to end")

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Answer any unary method, as bytes."""
        method = handler_call_details.method

        async def answer(request: bytes, context: Context) -> bytes:
            return await self._answer(method, request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _answer(self, method: str, request: bytes, context: Context) -> bytes:
        self._note(method, request, context)
        fault = next(self._answers, {})
        if fault.get("hang"):
            with suppress(TimeoutError):  # Before that, the call is cancelled by its deadline.
                await asyncio.wait_for(asyncio.Event().wait(), HANG_SECONDS)
            fault = {"code": "INTERNAL"}
        done = b""
        if not fault or fault.get("after") or fault.get("hangUp"):
            done = await self._hand_on(method, request, context)
        if fault.get("hangUp"):
            self._hang_up()
        elif fault:
            await context.abort_with_status(rpc_status.to_status(_status(fault)))
        return done

    def _note(self, method: str, request: bytes, context: Context) -> None:
        service, _, name = method.removeprefix("/tally.").partition("/")
        sent: Any = service_descriptors()[service].methods_by_name[name].input_type
        message: Any = sent._concrete_class.FromString(request)
        noted = self.seen[f"{service}/{name}"]
        noted.attempts += 1
        if "request_id" in sent.fields_by_name:
            noted.request_ids.add(message.request_id)
        noted.tokens.add(str(dict(context.invocation_metadata() or ()).get("authorization")))

    async def _hand_on(self, method: str, request: bytes, context: Context) -> bytes:
        service = method.split(".")[1]
        if service not in self._channels:
            self._channels[service] = grpc.aio.insecure_channel(self._addresses[service])
        metadata = tuple(pair for pair in context.invocation_metadata() or () if _ours(pair[0]))
        try:
            called: Any = self._channels[service].unary_unary(method)
            answer: bytes = await called(request, metadata=metadata)
        except grpc.aio.AioRpcError as refused:
            context.set_trailing_metadata(tuple(refused.trailing_metadata()))
            await context.abort(refused.code(), refused.details() or "")
        return answer

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client with the gRPC server, or refuse it."""
        if self._refusing > 0:
            self._refusing -= 1
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_connection(HOST, self._inner_port)
        self._open |= {writer, inner_writer}
        await asyncio.gather(_pour(reader, inner_writer), _pour(inner_reader, writer))
        self._open -= {writer, inner_writer}

    def _hang_up(self) -> None:
        for writer in self._open:
            writer.transport.abort()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(64 * 1024):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass  # The other direction ends, too.
    finally:
        writer.transport.abort()


def _status(fault: Mapping[str, Any]) -> Status:
    code: grpc.StatusCode = grpc.StatusCode[fault["code"]]
    status = Status(code=code.value[0], message="as scripted")
    details: list[Any] = []
    if "reason" in fault:
        details.append(ErrorInfo(reason=fault["reason"], domain="tally"))
    if "retryDelayMs" in fault:
        delay = Duration()
        delay.FromMilliseconds(fault["retryDelayMs"])
        details.append(RetryInfo(retry_delay=delay))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _ours(key: str) -> bool:
    return key == "authorization"
