"""How a call is made: token, deadline, request id, retries, errors; with and without asyncio."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from tally_client._error import TallyError
from tally_client._status import error_of

Answer = TypeVar("Answer", bound=Message)
Request = TypeVar("Request", bound=Message)
Addresses = str | Mapping[str, str]
Token = str | Callable[[], str]
AsyncToken = str | Callable[[], str | Awaitable[str]]
Metadata = tuple[tuple[str, str], ...]

DEADLINE_SECONDS = 10.0
SERVICE_CONFIG = files("tally_client").joinpath("service_config.json").read_text()
ATTEMPTS_MAX: int = json.loads(SERVICE_CONFIG)["methodConfig"][0]["retryPolicy"]["maxAttempts"]
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),  # A channel's backoff is its own.
]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the services are, and how they are called."""

    addresses: Addresses
    deadline_seconds: float
    credentials: grpc.ChannelCredentials | None

    def known(self) -> set[str]:
        """Return all addresses."""
        given = self.addresses
        return {given} if isinstance(given, str) else set(given.values()) - {""}

    def address_of(self, path: str) -> str:
        """Return the address of the service of the suite that has the method.

        Raises:
            LookupError: none was given.
        """
        service, given = path.split(".")[1], self.addresses
        address = given if isinstance(given, str) else given.get(service)
        if not address:
            raise LookupError(f"no address of the service {service} was given")
        return address

    def of(self, path: str) -> Target:
        """Return the same with no other address than that of the method's service.

        Raises:
            LookupError: none was given.
        """
        return replace(self, addresses=self.address_of(path))


class Calls:
    """Makes calls; channels connect at first use and again after a loss."""

    def __init__(self, target: Target, token: Token) -> None:
        self._target = target
        self._token = token
        # All at once, so that threads need not agree on who makes one.
        self._channels = {address: _open(target, address) for address in target.known()}

    def unary(
        self, path: str, request: Message, answer: type[Answer], wait: float | None
    ) -> Answer:
        """Send one request and return its answer; `wait` is in seconds.

        gRPC itself sends again what fails as UNAVAILABLE, by the service config; what is
        RESOURCE_EXHAUSTED is sent again when the service said how long to wait; nothing else is.

        Raises:
            TallyError: of the class that the reason has.
        """
        sent, request_id = _with_request_id(request)
        deadline = time.monotonic() + (self._target.deadline_seconds if wait is None else wait)
        attempt = 0
        while True:
            attempt += 1
            left = max(deadline - time.monotonic(), 0)
            try:
                return self.attempt(path, sent, answer, left, request_id)
            except TallyError as error:
                time.sleep(_pause_before_retry(error, attempt, deadline))

    def attempt(
        self, path: str, request: Message, answer: type[Answer], wait: float, request_id: str = ""
    ) -> Answer:
        """Send one request as it is; only gRPC itself sends it again.

        Raises:
            TallyError: of the class that the reason has.
        """
        method = _method(self._channel(path).unary_unary, path, request, answer)
        try:
            got: Answer = method(request, timeout=wait, metadata=self._metadata())
            return got
        except grpc.RpcError as failed:
            raise error_of(failed, request_id) from failed

    def pages(
        self, path: str, request: Message, answer: type[Message], field: str, wait: float | None
    ) -> Iterator[Any]:
        """Give the items of all pages, each page asked for when it is needed."""
        asked: Any = _copy(request)
        while True:
            page: Any = self.unary(path, asked, answer, wait)
            yield from getattr(page, field)
            if not page.next_page_token:
                return
            asked.page_token = page.next_page_token

    def stream(
        self, path: str, request: Message, answer: type[Answer], wait: float | None
    ) -> Iterator[Answer]:
        """Send one request and give its answers as they come.

        Without `wait` it may take as long as it likes. gRPC sends the request again as for
        `unary`, until there is an answer.

        Raises:
            TallyError: at any point; of the class that the reason has.
        """
        sent, request_id = _with_request_id(request)
        method = _method(self._channel(path).unary_stream, path, sent, answer)
        answers = method(sent, timeout=wait, metadata=self._metadata())
        try:
            yield from answers
        except grpc.RpcError as failed:
            raise error_of(failed, request_id) from failed
        finally:
            answers.cancel()

    def close(self) -> None:
        """Close the channels; calls in flight are cancelled."""
        for channel in self._channels.values():
            channel.close()

    def _channel(self, path: str) -> grpc.Channel:
        return self._channels[self._target.address_of(path)]

    def _metadata(self) -> Metadata:
        return _bearer(self._token() if callable(self._token) else self._token)


class AsyncCalls:
    """The same for asyncio; it belongs to the event loop in which its first call is made."""

    def __init__(self, target: Target, token: AsyncToken) -> None:
        self._target = target
        self._token = token
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def unary(
        self, path: str, request: Message, answer: type[Answer], wait: float | None
    ) -> Answer:
        """As `Calls.unary`."""
        sent, request_id = _with_request_id(request)
        deadline = time.monotonic() + (self._target.deadline_seconds if wait is None else wait)
        attempt = 0
        while True:
            attempt += 1
            left = max(deadline - time.monotonic(), 0)
            try:
                return await self.attempt(path, sent, answer, left, request_id)
            except TallyError as error:
                await asyncio.sleep(_pause_before_retry(error, attempt, deadline))

    async def attempt(
        self, path: str, request: Message, answer: type[Answer], wait: float, request_id: str = ""
    ) -> Answer:
        """As `Calls.attempt`."""
        method = _method(self._channel(path).unary_unary, path, request, answer)
        metadata = await self._metadata()
        try:
            got: Answer = await method(request, timeout=wait, metadata=metadata)
            return got
        except grpc.aio.AioRpcError as failed:
            raise error_of(failed, request_id) from failed

    async def pages(
        self, path: str, request: Message, answer: type[Message], field: str, wait: float | None
    ) -> AsyncIterator[Any]:
        """As `Calls.pages`."""
        asked: Any = _copy(request)
        while True:
            page: Any = await self.unary(path, asked, answer, wait)
            for item in getattr(page, field):
                yield item
            if not page.next_page_token:
                return
            asked.page_token = page.next_page_token

    async def stream(
        self, path: str, request: Message, answer: type[Answer], wait: float | None
    ) -> AsyncIterator[Answer]:
        """As `Calls.stream`."""
        sent, request_id = _with_request_id(request)
        method = _method(self._channel(path).unary_stream, path, sent, answer)
        answers = method(sent, timeout=wait, metadata=await self._metadata())
        try:
            async for one in answers:
                yield one
        except grpc.aio.AioRpcError as failed:
            raise error_of(failed, request_id) from failed
        finally:
            answers.cancel()

    async def close(self) -> None:
        """Close the channels; calls in flight are cancelled."""
        while self._channels:
            await self._channels.popitem()[1].close()

    def _channel(self, path: str) -> grpc.aio.Channel:
        address = self._target.address_of(path)
        if address not in self._channels:
            self._channels[address] = _open_async(self._target, address)
        return self._channels[address]

    async def _metadata(self) -> Metadata:
        token = self._token() if callable(self._token) else self._token
        return _bearer(await token if inspect.isawaitable(token) else token)


def _method(make: Any, path: str, request: Message, answer: type[Message]) -> Any:
    return make(
        path,
        request_serializer=type(request).SerializeToString,
        response_deserializer=answer.FromString,
    )


def _open(target: Target, address: str) -> grpc.Channel:
    if target.credentials is None:
        return grpc.insecure_channel(address, OPTIONS)
    return grpc.secure_channel(address, target.credentials, OPTIONS)


def _open_async(target: Target, address: str) -> grpc.aio.Channel:
    if target.credentials is None:
        return grpc.aio.insecure_channel(address, OPTIONS)
    return grpc.aio.secure_channel(address, target.credentials, OPTIONS)


def _with_request_id(request: Request) -> tuple[Request, str]:
    """Return the request with a request id, if it has such a field, and that id."""
    if "request_id" not in request.DESCRIPTOR.fields_by_name:
        return request, ""
    sent: Any = _copy(request)
    sent.request_id = sent.request_id or str(uuid4())
    return sent, sent.request_id


def _copy(request: Request) -> Request:
    copy = type(request)()
    copy.CopyFrom(request)
    return copy


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),) if token else ()


def _pause_before_retry(error: TallyError, attempt: int, deadline: float) -> float:
    """Return how long to wait before another try, in seconds.

    Raises:
        TallyError: the error itself; there is no other try.
    """
    delay = error.retry_delay_seconds if error.code == "RESOURCE_EXHAUSTED" else None
    if delay is None or attempt == ATTEMPTS_MAX or time.monotonic() + delay >= deadline:
        raise error
    return delay
