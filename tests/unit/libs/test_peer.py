"""Calls to peers: what is presented, and how what fails comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from libs import auth, errors, peer
from libs.auth import InternalToken
from libs.status import PeerFailed
from libs.tenant import Tenant
from tally.internal.v1 import fact_service_pb2, fact_service_pb2_grpc
from tally.wallet.v1 import hold_service_pb2, hold_service_pb2_grpc
from tests.unit.libs.keys import Keys
from tests.unit.libs.rpc_server import Authorize, Facts, serving
from tests.wait import until

REQUEST = hold_service_pb2.AuthorizeRequest()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@asynccontextmanager
async def channel_to(address: str, token_file: str) -> AsyncIterator[grpc.aio.Channel]:
    async with peer.channel(address, InternalToken(token_file)) as channel:
        yield channel


async def authorize_at(keys: Keys, authorize: Authorize, **options: Any) -> Any:
    async with serving(keys.file, authorize=authorize) as address:
        async with channel_to(address, keys.internal_token_file()) as channel:
            stub: Any = hold_service_pb2_grpc.HoldServiceStub(channel)
            return await peer.call(stub.Authorize, REQUEST, tenant=Tenant(9), **options)


async def test_a_call_is_made_in_the_name_of_a_tenant(keys: Keys) -> None:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        return f"{auth.tenant()} {sorted(auth.caller().scopes)}"

    answer = await authorize_at(keys, authorize)
    assert answer.hold.hold_id == "9 ['internal']"


@pytest.mark.parametrize(
    "kind",
    [errors.InvalidInput, errors.NotFound, errors.AlreadyExists, errors.Refused],
)
async def test_a_refusal_comes_back_with_its_kind_reason_and_numbers(
    keys: Keys, kind: type[errors.TallyError]
) -> None:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        raise kind("asked 5, have 3", reason="SOME_REASON", metadata={"asked": "5"})

    with pytest.raises(kind, match="asked 5, have 3") as refused:
        await authorize_at(keys, authorize)
    assert refused.value.reason == "SOME_REASON"
    assert refused.value.metadata == {"asked": "5"}


async def test_a_faulty_field_comes_back_as_one(keys: Keys) -> None:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        raise errors.FieldInvalid("wallet_id", "is no UUID")

    with pytest.raises(errors.FieldInvalid) as refused:
        await authorize_at(keys, authorize)
    assert (refused.value.field, refused.value.problem) == ("wallet_id", "is no UUID")


async def test_a_peer_that_is_busy_says_for_how_long(keys: Keys) -> None:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        raise errors.Exhausted("full", retry_after=2.5)

    with pytest.raises(errors.Exhausted) as refused:
        await authorize_at(keys, authorize)
    assert refused.value.retry_after == 2.5


async def test_a_peer_that_is_away_for_a_moment_is_asked_again(keys: Keys) -> None:
    calls = 0

    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise errors.Unavailable("not yet")
        return "h"

    answer = await authorize_at(keys, authorize)
    assert (answer.hold.hold_id, calls) == ("h", 3)


async def test_the_processes_of_a_peer_are_asked_in_turn(keys: Keys) -> None:
    async def first(request: hold_service_pb2.AuthorizeRequest) -> str:
        return "first"

    async def second(request: hold_service_pb2.AuthorizeRequest) -> str:
        return "second"

    async with (
        serving(keys.file, authorize=first) as one,
        serving(keys.file, authorize=second) as other,
        channel_to(f"ipv4:{one},{other}", keys.internal_token_file()) as channel,
    ):
        stub: Any = hold_service_pb2_grpc.HoldServiceStub(channel)

        async def ask() -> str:
            answer: Any = await peer.call(stub.Authorize, REQUEST, tenant=Tenant(9))
            return str(answer.hold.hold_id)

        async def both_answer() -> bool:  # Calls go out as soon as one of the two is connected.
            return {await ask(), await ask()} == {"first", "second"}

        await until(both_answer)


async def test_a_peer_that_is_not_there_is_unavailable(keys: Keys) -> None:
    async with channel_to("127.0.0.1:1", keys.internal_token_file()) as channel:
        stub: Any = hold_service_pb2_grpc.HoldServiceStub(channel)
        with pytest.raises(errors.Unavailable, match=r"tally\.wallet\.v1\.Authorize"):
            await peer.call(stub.Authorize, REQUEST, tenant=None)


async def test_a_peer_that_is_too_slow_is_unavailable(keys: Keys) -> None:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(errors.Unavailable):
        await authorize_at(keys, authorize, timeout=0.1)


async def test_a_peers_mistake_is_not_taken_for_our_callers(keys: Keys) -> None:
    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        raise ZeroDivisionError

    with pytest.raises(PeerFailed):
        await authorize_at(keys, authorize)


async def test_a_peer_that_refuses_our_token_is_not_taken_for_our_callers_mistake(
    keys: Keys,
) -> None:
    async with serving(keys.file, facts=Facts(1)) as address:
        token_file = keys.folder / "bad"
        token_file.write_text("x.y.z")
        async with channel_to(address, str(token_file)) as channel:
            stub: Any = fact_service_pb2_grpc.FactServiceStub(channel)
            with pytest.raises(PeerFailed, match="TOKEN_INVALID"):
                request = fact_service_pb2.StreamFactsRequest()
                async for _ in peer.stream(stub.StreamFacts, request, tenant=None):
                    pass


async def test_a_stream_gives_what_came_before_it_broke(keys: Keys) -> None:
    seen = []
    facts = Facts(3, errors.Refused("enough", reason="SOME_REASON"))
    async with serving(keys.file, facts=facts) as address:
        async with channel_to(address, keys.internal_token_file()) as channel:
            stub: Any = fact_service_pb2_grpc.FactServiceStub(channel)
            request = fact_service_pb2.StreamFactsRequest()
            with pytest.raises(errors.Refused, match="enough"):
                async for fact in peer.stream(stub.StreamFacts, request, tenant=None):
                    seen.append(fact.seq)
    assert seen == [1, 2, 3]
