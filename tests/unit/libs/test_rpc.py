"""What callers get back from a service: answers, rich errors, refusals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from prometheus_client import REGISTRY

from libs import auth, errors
from libs.rpc import check_scopes, scope_of
from tally.internal.v1 import fact_service_pb2, fact_service_pb2_grpc
from tally.wallet.v1 import hold_service_pb2, hold_service_pb2_grpc
from tests.unit.libs.keys import Keys
from tests.unit.libs.rpc_server import Authorize, Facts, serving
from tests.wait import until

AUTHORIZE = "/tally.wallet.v1.HoldService/Authorize"
STREAM_FACTS = "/tally.internal.v1.FactService/StreamFacts"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def raising(error: Exception) -> Authorize:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        raise error

    return authorize


@asynccontextmanager
async def stub_of(address: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield hold_service_pb2_grpc.HoldServiceStub(channel)


async def failure_of(
    keys: Keys, authorize: Authorize, token: str | None = None, **options: Any
) -> tuple[grpc.aio.AioRpcError, dict[str, Any]]:
    """Call Authorize and return how it failed, and the error's details by their type."""
    token = token or keys.token("holds:write")
    async with serving(keys.file, authorize=authorize, **options) as address:
        async with stub_of(address) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub.Authorize(
                    hold_service_pb2.AuthorizeRequest(),
                    metadata=[("authorization", f"Bearer {token}")],
                )
    return failed.value, details_of(failed.value)


def details_of(failed: grpc.aio.AioRpcError) -> dict[str, Any]:
    status = rpc_status.from_call(failed)  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for detail in status.details if status else ():
        for known in (ErrorInfo(), BadRequest(), RetryInfo()):
            if detail.Unpack(known):
                found[type(known).__name__] = known
    return found


async def test_the_method_knows_its_caller(keys: Keys) -> None:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        return f"tenant {auth.tenant()}, {sorted(auth.caller().scopes)}"

    async with serving(keys.file, authorize=authorize) as address, stub_of(address) as stub:
        answer = await stub.Authorize(
            hold_service_pb2.AuthorizeRequest(),
            metadata=[("authorization", f"Bearer {keys.token('holds:write', tenant=9)}")],
        )
    assert answer.hold.hold_id == "tenant 9, ['holds:write']"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
        (errors.PermissionDenied, grpc.StatusCode.PERMISSION_DENIED),
        (errors.NotFound, grpc.StatusCode.NOT_FOUND),
        (errors.AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
        (errors.Refused, grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Exhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
        (errors.DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_each_kind_has_its_code_and_carries_reason_and_numbers(
    keys: Keys, kind: type[errors.TallyError], code: grpc.StatusCode
) -> None:
    error = kind("asked 5, have 3", reason="SOME_REASON", metadata={"available_minor": "3"})
    failed, details = await failure_of(keys, raising(error))
    assert (failed.code(), failed.details()) == (code, "asked 5, have 3")
    info = details["ErrorInfo"]
    assert (info.reason, info.domain) == ("SOME_REASON", "tally")
    assert dict(info.metadata) == {"available_minor": "3"}


async def test_all_faulty_fields_are_named_at_once(keys: Keys) -> None:
    faults = [errors.FieldInvalid("a.b", "is missing"), errors.FieldInvalid("c[1]", "is no UUID")]
    failed, details = await failure_of(keys, raising(errors.FieldsInvalid(faults)))
    assert failed.details() == "a.b: is missing; c[1]: is no UUID"
    assert details["ErrorInfo"].reason == "FIELD_INVALID"
    violations = details["BadRequest"].field_violations
    assert [(one.field, one.description) for one in violations] == [
        ("a.b", "is missing"),
        ("c[1]", "is no UUID"),
    ]


async def test_many_faults_and_long_words_fit_into_headers(keys: Keys) -> None:
    """Of four thousand faults the first are named; a client takes 8 KiB of headers or so."""
    faults = [errors.FieldInvalid(f"charges[{n}].code", "é" * 500) for n in range(4_000)]
    failed, details = await failure_of(keys, raising(errors.FieldsInvalid(faults)))
    named = details["BadRequest"].field_violations
    left_out = int(details["ErrorInfo"].metadata["violations_left_out"])
    assert named[0].field == "charges[0].code" and named[0].description.endswith("é…")
    assert len(named) > 1 and len(named) + left_out == 4_000
    assert (failed.details() or "").startswith("charges[0].code: ééé")
    trailing = failed.trailing_metadata() or ()
    assert sum(len(name) + len(value) for name, value in trailing) < 6 * 1024


async def test_one_call_too_many_is_refused_and_told_when_to_come_again(keys: Keys) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        entered.set()
        await leave.wait()
        return "h"

    metadata = [("authorization", f"Bearer {keys.token('holds:write')}")]
    request = hold_service_pb2.AuthorizeRequest()
    async with serving(keys.file, authorize=authorize, calls_max=1) as address:
        async with stub_of(address) as stub:
            first = asyncio.ensure_future(stub.Authorize(request, metadata=metadata))
            await asyncio.wait_for(entered.wait(), 30)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub.Authorize(request, metadata=metadata)
            leave.set()
            assert (await first).hold.hold_id == "h"
            assert (await stub.Authorize(request, metadata=metadata)).hold.hold_id == "h"
    details = details_of(failed.value)
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details["ErrorInfo"].reason == "OVERLOADED"
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == 1_000


async def test_an_overload_says_when_to_come_again(keys: Keys) -> None:
    _, details = await failure_of(keys, raising(errors.Exhausted("full", retry_after=1.5)))
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == 1500


async def test_a_mistake_of_ours_leaks_nothing(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    failed, details = await failure_of(keys, raising(ZeroDivisionError("secret")))
    assert failed.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(failed)
    assert details["ErrorInfo"].reason == "INTERNAL"
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info is not None for record in logged] == [True]


async def test_a_missing_scope_is_named(keys: Keys) -> None:
    failed, details = await failure_of(keys, raising(AssertionError()), keys.token("usage:read"))
    assert failed.code() is grpc.StatusCode.PERMISSION_DENIED
    assert details["ErrorInfo"].reason == "SCOPE_MISSING"
    assert dict(details["ErrorInfo"].metadata) == {"scope": "holds:write"}


async def test_a_call_without_a_token_is_refused_before_the_method_runs(keys: Keys) -> None:
    async with serving(keys.file, authorize=raising(AssertionError())) as address:
        async with stub_of(address) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub.Authorize(hold_service_pb2.AuthorizeRequest())
    assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert details_of(failed.value)["ErrorInfo"].reason == "TOKEN_MISSING"


async def test_bytes_that_are_no_message_are_invalid_input(keys: Keys) -> None:
    async with serving(keys.file, authorize=raising(AssertionError())) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            authorize: Any = channel.unary_unary(AUTHORIZE)
            token = keys.token("holds:write")
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await authorize(b"\xff\xff", metadata=[("authorization", f"Bearer {token}")])
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(failed.value)["ErrorInfo"].reason == "FIELD_INVALID"


async def test_a_call_without_a_deadline_gets_one(keys: Keys) -> None:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        await asyncio.Event().wait()
        return ""

    failed, details = await failure_of(keys, authorize, unary_seconds_max=0.05)
    assert failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert details["ErrorInfo"].reason == "DEADLINE_EXCEEDED"


async def test_a_timeout_inside_a_method_is_no_deadline(keys: Keys) -> None:
    failed, _ = await failure_of(keys, raising(TimeoutError()))
    assert failed.code() is grpc.StatusCode.INTERNAL


async def test_a_stream_gives_its_answers_and_then_its_error(keys: Keys) -> None:
    facts = Facts(3, errors.NotFound("no more", reason="EVENT_NOT_FOUND"))
    metadata = [("authorization", f"Bearer {keys.token('internal', tenant=None)}")]
    seen = []
    async with serving(keys.file, facts=facts) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = fact_service_pb2_grpc.FactServiceStub(channel)
            request = fact_service_pb2.StreamFactsRequest(after_seq=1)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                async for fact in stub.StreamFacts(request, metadata=metadata):
                    seen.append(fact.seq)
    assert seen == [2, 3]
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert details_of(failed.value)["ErrorInfo"].reason == "EVENT_NOT_FOUND"


async def test_rpcs_are_counted_by_method_and_code(keys: Keys) -> None:
    def count(code: str) -> float:
        labels = {"method": AUTHORIZE, "code": code}
        return REGISTRY.get_sample_value("tally_rpc_total", labels) or 0

    before = count("NOT_FOUND")
    await failure_of(keys, raising(errors.NotFound("x", reason="HOLD_NOT_FOUND")))
    assert count("NOT_FOUND") == before + 1


async def test_a_call_that_its_caller_gives_up_ends_in_the_method_too(keys: Keys) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    labels = {"method": AUTHORIZE, "code": "CANCELLED"}
    before = REGISTRY.get_sample_value("tally_rpc_total", labels) or 0
    metadata = [("authorization", f"Bearer {keys.token('holds:write')}")]
    async with serving(keys.file, authorize=authorize) as address, stub_of(address) as stub:
        call = stub.Authorize(hold_service_pb2.AuthorizeRequest(), metadata=metadata, timeout=9)
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 5)
    assert REGISTRY.get_sample_value("tally_rpc_total", labels) == before + 1


async def test_a_stream_that_its_caller_leaves_is_closed(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = [("authorization", f"Bearer {keys.token('internal', tenant=None)}")]
    labels = {"method": STREAM_FACTS, "code": "CANCELLED"}
    before = REGISTRY.get_sample_value("tally_rpc_total", labels) or 0
    async with serving(keys.file, facts=Facts(1_000_000)) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = fact_service_pb2_grpc.FactServiceStub(channel)
            call = stub.StreamFacts(fact_service_pb2.StreamFactsRequest(), metadata=metadata)
            assert (await call.read()).seq == 1
            call.cancel()
            await until(lambda: REGISTRY.get_sample_value("tally_rpc_total", labels) == before + 1)
    assert [record.getMessage() for record in caplog.records] == []


def test_scopes_are_read_from_the_contract() -> None:
    assert scope_of(AUTHORIZE) == "holds:write"
    assert scope_of(STREAM_FACTS) == "internal"


def test_a_service_with_a_method_without_a_scope_is_refused() -> None:
    check_scopes(["tally.wallet.v1.HoldService", "grpc.health.v1.Health"])
    with pytest.raises(LookupError, match="declares no"):
        check_scopes([trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"].full_name])
