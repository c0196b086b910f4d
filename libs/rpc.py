"""gRPC server plumbing: one interceptor stands before every method of a service.

It opens the RPC's span, knows the caller, checks the scope that the method declares, bounds the
time, turns errors into rich statuses, and counts and logs how it ended.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import cache
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError
from grpc_status import rpc_status
from opentelemetry import context as trace_context
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from prometheus_client import Counter, Histogram

from libs import auth, telemetry
from libs.errors import DeadlineExceeded, Exhausted, InvalidInput, TallyError, Unavailable
from libs.status import status_of, status_of_mistake
from tally.common.v1 import options_pb2

log = logging.getLogger(__name__)
tracer = telemetry.tracer(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Handler = grpc.RpcMethodHandler

UNARY_SECONDS_MAX = 30.0  # For a call whose caller sets no deadline.
CALLS_MAX = 1_000  # At once, of those with one answer: some seconds' work for one process.
RETRY_SECONDS = 1.0
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
OPEN_SERVICES = ("/grpc.health.v1.", "/grpc.reflection.")  # They need no token.

ANSWERED = Counter("tally_rpc_total", "RPCs by how they ended.", ["method", "code"])
SECONDS = Histogram(
    "tally_rpc_seconds",
    "How long RPCs took.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

MAKE_HANDLER: dict[tuple[bool, bool], Callable[..., Handler[Any, Any]]] = {
    # By (request_streaming, response_streaming).
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Unreadable(InvalidInput):
    """The request's bytes are not the method's message."""

    reason = "FIELD_INVALID"


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Stands before every method.

    Methods that stream answers are async generators, or coroutines that write to the context.
    """

    def __init__(
        self,
        authenticator: auth.Authenticator,
        *,
        unary_seconds_max: float = UNARY_SECONDS_MAX,
        calls_max: int = CALLS_MAX,
    ) -> None:
        self._authenticator = authenticator
        self._unary_seconds_max = unary_seconds_max
        self._calls_max = calls_max
        self._calls = 0  # With one answer, begun and not ended.
        self._guarded: dict[str, Handler[Any, Any]] = {}  # By method, made at its first call.

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        guarded = not method.startswith(OPEN_SERVICES)
        if guarded and not handler.response_streaming and self._calls >= self._calls_max:
            return _refusing(method, self._calls_max)
        if method not in self._guarded:
            self._guarded[method] = self._guard(handler, method, guarded=guarded)
        return self._guarded[method]

    def _guard(self, handler: Handler[Any, Any], method: str, *, guarded: bool) -> Any:
        one: Any = handler.unary_unary or handler.stream_unary
        many: Any = handler.unary_stream or handler.stream_stream

        def answering(context: Context) -> AbstractAsyncContextManager[None]:
            return self._answering(method, context) if guarded else _answering_anyone(context)

        def asked_of(request: Any, context: Context) -> Any:
            return _Requests(context) if handler.request_streaming else _readable(request)

        async def answer_one(request: Any, context: Context) -> Any:
            self._calls += 1
            try:
                async with answering(context):
                    async with self._limited(method, context):
                        return await one(asked_of(request, context), context)
            finally:
                self._calls -= 1

        async def answer_many(request: Any, context: Context) -> AsyncGenerator[Any, None]:
            async with answering(context):
                asked = asked_of(request, context)
                if inspect.iscoroutinefunction(many):
                    await many(asked, context)
                    return
                async with aclosing(many(asked, context)) as answers:
                    async for answer in answers:
                        yield answer

        make = MAKE_HANDLER[handler.request_streaming, handler.response_streaming]
        return make(
            answer_many if handler.response_streaming else answer_one,
            request_deserializer=_lenient(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    @asynccontextmanager
    async def _answering(self, method: str, context: Context) -> AsyncGenerator[None, None]:
        """Run one RPC in its span and in its caller's name.

        Neither is taken back at the end: the RPC's task ends with it, and a generator that was
        cancelled may be closed from another task, where they could not be.
        """
        started = time.perf_counter()
        metadata = {key: value for key, value in context.invocation_metadata() or ()}
        span = _start_span(method, metadata)
        code = "CANCELLED"
        try:
            who = self._authenticator.authenticate(metadata)
            _check_scope(method, who)
            auth.set_caller(who)
            yield
            code = (context.code() or grpc.StatusCode.OK).name
        except grpc.aio.AbortError:
            code = context.code().name
            raise
        except Exception as error:
            answer = rpc_status.to_status(_status(error, method))
            code = answer.code.name
            await _abort(context, answer)
        finally:
            _count(method, code, time.perf_counter() - started)
            _end_span(span, code)

    @asynccontextmanager
    async def _limited(self, method: str, context: Context) -> AsyncGenerator[None, None]:
        """Give a call without a deadline one; gRPC itself cancels those that have their own."""
        limit = None if context.time_remaining() is not None else self._unary_seconds_max
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DeadlineExceeded(f"{method} took longer than {limit} s") from error


def check_scopes(services: Iterable[str]) -> None:
    """Check that every method of `services`, by full name, declares its scope.

    Raises:
        LookupError: one does not, so that anyone could call it.
    """
    for service in services:
        if f"/{service}/".startswith(OPEN_SERVICES):
            continue
        for method in descriptor_of(service).methods:
            scope_of(f"/{service}/{method.name}")


@cache
def scope_of(method: str) -> str:
    """Return the scope that a caller of `method`, a path like "/tally.x.v1.Y/Z", needs.

    The value SCOPE_EVENTS_WRITE is "events:write" in a token.
    """
    service, _, name = method.removeprefix("/").partition("/")
    options = descriptor_of(service).methods_by_name[name].GetOptions()
    value = options.Extensions[options_pb2.scope]
    if value == options_pb2.SCOPE_UNSPECIFIED:
        raise LookupError(f"{method} declares no (tally.common.v1.scope)")
    return options_pb2.Scope.Name(value).removeprefix("SCOPE_").lower().replace("_", ":", 1)


def descriptor_of(service: str) -> ServiceDescriptor:
    """Return what the contract says about a service, by its full name."""
    return descriptor_pool.Default().FindServiceByName(service)


def _check_scope(method: str, who: auth.Caller) -> None:
    scope = scope_of(method)
    if scope not in who.scopes and auth.INTERNAL_SCOPE not in who.scopes:
        raise auth.ScopeMissing(scope)


def _status(error: Exception, method: str) -> Any:
    fields = {"method": method}
    if not isinstance(error, TallyError):
        log.error("rpc met a mistake of ours", extra=fields, exc_info=error)
        return status_of_mistake(telemetry.trace_id())
    level = logging.WARNING if isinstance(error, Unavailable | Exhausted) else logging.INFO
    status = status_of(error)
    log.log(level, "rpc failed", extra=fields | {"reason": error.reason, "error": str(error)})
    return status


def _refusing(method: str, calls_max: int) -> Handler[Any, Any]:
    """Return what answers a call that is too much, without reading its request.

    That is what a handler of streamed requests does which never asks for the first one; to the
    caller there is no difference.
    """

    async def refuse(requests: Any, context: Context) -> None:
        message = f"{calls_max} calls are being answered; come again in {RETRY_SECONDS:g} s"
        ANSWERED.labels(method, "RESOURCE_EXHAUSTED").inc()
        status = status_of(Exhausted(message, retry_after=RETRY_SECONDS))
        await _abort(context, rpc_status.to_status(status))

    return grpc.stream_unary_rpc_method_handler(refuse)


def _lenient(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """Return `parse`, but hand what it cannot read to the method's wrapper, which refuses it."""
    assert parse is not None

    def parse_or_refuse(content: bytes) -> Any:
        try:
            return parse(content)
        except DecodeError:
            return Unreadable("the request cannot be read: its bytes are not of its message")

    return parse_or_refuse


def _readable(request: Any) -> Any:
    """Return a request, or raise what is in its place where it could not be read."""
    if isinstance(request, Unreadable):
        raise request
    return request


class _Requests:
    """The requests of a stream, one at a time.

    None is kept while the next one is waited for, as gRPC's own iterator does: a thousand streams
    would hold as many large messages.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __aiter__(self) -> _Requests:
        return self

    async def __anext__(self) -> Any:
        request = await self._context.read()
        if request is grpc.aio.EOF:
            raise StopAsyncIteration
        return _readable(request)


@asynccontextmanager
async def _answering_anyone(context: Context) -> AsyncGenerator[None, None]:
    """Run an RPC of gRPC's own services, which know nothing of our errors."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except Unreadable as error:
        await _abort(context, rpc_status.to_status(status_of(error)))
    except Exception:
        unimplemented = grpc.StatusCode.UNIMPLEMENTED
        if context.code() not in (unimplemented, unimplemented.value[0]):  # As its base says.
            raise
        await context.abort(unimplemented, "this service does not have the method")


async def _abort(context: Context, status: grpc.Status) -> None:
    """End the RPC with `status`. To a caller who has left there is nothing more to say."""
    try:
        await context.abort_with_status(status)
    except grpc.aio.InternalError as error:
        if not context.done():
            raise
        raise asyncio.CancelledError from error


# What a call costs besides its work, all calls pay: what is the same for each is looked up once.
_answered = cache(ANSWERED.labels)
_seconds = cache(SECONDS.labels)
STATUS_NUMBERS = {code.name: code.value[0] for code in grpc.StatusCode}


def _count(method: str, code: str, seconds: float) -> None:
    _answered(method, code).inc()
    _seconds(method).observe(seconds)


@cache
def _attributes_of(method: str) -> dict[str, str]:
    service, _, name = method.removeprefix("/").partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


def _start_span(method: str, metadata: dict[str, Any]) -> Span:
    parent = trace_context.Context()
    if "traceparent" in metadata:
        parent = telemetry.context_from({k: v for k, v in metadata.items() if isinstance(v, str)})
    span = tracer.start_span(
        method.removeprefix("/"),
        context=parent,
        kind=SpanKind.SERVER,
        attributes=_attributes_of(method),
    )
    trace_context.attach(set_span_in_context(span, parent))
    return span


def _end_span(span: Span, code: str) -> None:
    span.set_attribute("rpc.grpc.status_code", STATUS_NUMBERS[code])
    if code != "OK":
        span.set_status(StatusCode.ERROR, code)
    span.end()
