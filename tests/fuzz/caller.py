"""Makes calls as raw bytes, through channels that know nothing of the contracts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from tests.fuzz.calls import Call

ANSWERS_MAX = 50  # Of a stream; then the caller leaves.
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.absolute_max_metadata_size", 128 * 1024),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    code: str
    seconds: float
    message: str = ""
    info: ErrorInfo | None = None
    fields: int = 0  # Field violations.
    retry: bool = False  # Whether it says when to come again.
    answers: tuple[bytes, ...] = ()
    trailing_bytes: int = 0


class Caller:
    """Channels to every service; `async with` it."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._channels = {
            name: grpc.aio.insecure_channel(address, options=OPTIONS)
            for name, address in addresses.items()
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def all(self, calls: Sequence[Call], *, at_once: int) -> list[Outcome]:
        """Make all calls, `at_once` of them at a time; the outcomes are in their order."""
        places = asyncio.Semaphore(at_once)

        async def one(call: Call) -> Outcome:
            async with places:
                return await self.make(call)

        return list(await asyncio.gather(*map(one, calls)))

    async def make(self, call: Call) -> Outcome:
        """Make one call, to its end."""
        started = time.monotonic()
        answers: list[bytes] = []
        try:
            await self._answers(call, answers)
        except grpc.aio.AioRpcError as error:
            return _failed(error, time.monotonic() - started, answers)
        except asyncio.CancelledError:
            return Outcome("CANCELLED", time.monotonic() - started)
        return Outcome("OK", time.monotonic() - started, answers=tuple(answers))

    async def _answers(self, call: Call, answers: list[bytes]) -> None:
        running: Any = self._start(call)
        if call.cancel_after is not None:
            asyncio.get_running_loop().call_later(call.cancel_after, running.cancel)
        if not call.method.descriptor.server_streaming:
            answers.append(await running)
            return
        async for answer in running:
            answers.append(answer)
            if len(answers) >= ANSWERS_MAX:
                running.cancel()
                return

    def _start(self, call: Call) -> Any:
        channel: Any = self._channels[call.method.service]
        method = call.method
        streams = (method.descriptor.client_streaming, method.descriptor.server_streaming)
        options: dict[str, Any] = {
            "timeout": call.seconds,
            "metadata": call.metadata,
            "compression": call.compression,
        }
        match streams:
            case (False, False):
                return channel.unary_unary(method.path)(call.payloads[0], **options)
            case (False, True):
                return channel.unary_stream(method.path)(call.payloads[0], **options)
            case (True, False):
                return channel.stream_unary(method.path)(_each(call.payloads), **options)
        return channel.stream_stream(method.path)(_each(call.payloads), **options)


async def _each(payloads: Sequence[bytes]) -> AsyncIterator[bytes]:
    for payload in payloads:
        yield payload


def _failed(error: grpc.aio.AioRpcError, seconds: float, answers: Sequence[bytes]) -> Outcome:
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except (ValueError, DecodeError):
        status = None
    kinds = set()
    for detail in status.details if status else ():
        kinds |= {known for known in ("info", "retry") if _unpacked(detail, known, info, retry)}
        detail.Unpack(bad)
    trailing = sum(len(key) + len(value) for key, value in error.trailing_metadata() or ())
    return Outcome(
        error.code().name,
        seconds,
        error.details() or "",
        info if "info" in kinds else None,
        len(bad.field_violations),
        "retry" in kinds,
        tuple(answers),
        trailing,
    )


def _unpacked(detail: Any, name: str, info: ErrorInfo, retry: RetryInfo) -> bool:
    return bool(detail.Unpack({"info": info, "retry": retry}[name]))
