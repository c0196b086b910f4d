"""The running wallet service, by itself and with a test clock, and a client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.ports import choose_port
from libs import outbox
from libs.db import begin, begin_worker, connect
from libs.facts import FactServicer
from libs.tenant import Tenant
from libs.wire import timestamp
from services.wallet.app import serve
from services.wallet.settings import Settings
from tally.common.v1.money_pb2 import Money
from tally.internal.v1.fact_service_pb2_grpc import add_FactServiceServicer_to_server
from tally.internal.v1.test_clock_service_pb2 import GetIdleRequest, SetTimeRequest
from tally.internal.v1.test_clock_service_pb2_grpc import TestClockServiceStub
from tally.wallet.v1 import hold_service_pb2 as holds
from tally.wallet.v1 import wallet_service_pb2 as wallets
from tally.wallet.v1.hold_service_pb2_grpc import HoldServiceStub
from tally.wallet.v1.top_up_rule_service_pb2_grpc import TopUpRuleServiceStub
from tally.wallet.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests.servers import Database
from tests.unit.libs.keys import Keys

SCOPES = ("wallets:write", "wallets:read", "holds:write")


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call was refused."""

    code: str
    reason: str
    fields: list[str]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Client:
    """Calls the wallet in the name of one tenant."""

    channel: grpc.aio.Channel
    token: str
    tenant: int | None = None  # For whom, when the token is that of a service of the suite.

    async def call(self, request: Message) -> Any:
        """Call the method that takes this request."""
        name = type(request).__name__.removesuffix("Request")
        kinds: tuple[type[Any], ...] = (
            WalletServiceStub,
            HoldServiceStub,
            TopUpRuleServiceStub,
            TestClockServiceStub,
        )
        stubs = [kind(self.channel) for kind in kinds]
        method = next(getattr(stub, name) for stub in stubs if hasattr(stub, name))
        metadata = [("authorization", f"Bearer {self.token}")] if self.token else []
        metadata += [("tally-tenant", str(self.tenant))] if self.tenant is not None else []
        return await method(request, metadata=metadata, timeout=20)

    async def refused(self, request: Message) -> Refusal:
        """Return how the call is refused; fail if it is not."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(request)
        return refusal_of(caught.value)

    async def open(self, **fields: Any) -> str:
        """Open a wallet; return its id."""
        given: dict[str, Any] = {"customer_id": "acme", "currency_code": "USD", **fields}
        request = wallets.CreateWalletRequest(request_id=an_id(), wallet=wallets.Wallet(**given))
        answer: wallets.CreateWalletResponse = await self.call(request)
        return answer.wallet.wallet_id

    async def grant(self, wallet_id: str, amount_minor: int, **fields: Any) -> Any:
        """Put credit in."""
        given: dict[str, Any] = {"kind": wallets.GRANT_KIND_PURCHASED, **fields}
        grant = wallets.Grant(wallet_id=wallet_id, amount=usd(amount_minor), **given)
        return await self.call(wallets.GrantCreditsRequest(request_id=an_id(), grant=grant))

    async def filled(self, amount_minor: int) -> str:
        """Open a wallet with one grant; return its id."""
        wallet_id = await self.open()
        await self.grant(wallet_id, amount_minor)
        return wallet_id

    async def hold(self, wallet_id: str, amount_minor: int, **purpose: Any) -> Any:
        """Place a hold, standalone unless it says otherwise; return it."""
        request = authorize_request(wallet_id, amount_minor, **purpose or {"standalone": True})
        return (await self.call(request)).hold

    async def balance(self, wallet_id: str) -> tuple[int, int, int, int]:
        """Return what is posted, held, captured and available."""
        answer = await self.call(wallets.GetBalanceRequest(wallet_id=wallet_id))
        return figures(answer.balance)


@dataclass(frozen=True, slots=True)
class Invoicing:
    """What the wallet hears of invoicing: the facts in a database of its own."""

    engine: AsyncEngine
    worker: AsyncEngine

    async def announce(self, tenant: int, *facts: Message) -> None:
        """Have facts heard, in that order."""
        async with begin(self.engine, Tenant(tenant)) as conn:
            for fact in facts:
                await outbox.append(conn, Tenant(tenant), fact)
        async with begin_worker(self.worker) as conn:
            await outbox.number_waiting(conn, batch_max=100)


@dataclass(slots=True)
class Wallet:
    """The service under test, shared by the tests of a module: each has a tenant of its own."""

    channel: grpc.aio.Channel
    keys: Keys
    invoicing: Invoicing
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)  # Where its clock stands.
    tenant: int = 0  # That of the present test.

    def client(self, tenant: int | None = None, scopes: tuple[str, ...] = SCOPES) -> Client:
        return Client(self.channel, self.keys.token(*scopes, tenant=tenant or self.tenant))

    def service(self, *, tenant: int | None) -> Client:
        """Return a client that speaks as a service of the suite."""
        return Client(self.channel, self.keys.token("internal", tenant=None), tenant)

    async def move(self, **by: int) -> None:
        """Move the clock forward."""
        self.now += timedelta(**by)
        await self.service(tenant=None).call(SetTimeRequest(now=timestamp(self.now)))

    async def idle(self) -> Any:
        return await self.service(tenant=None).call(GetIdleRequest())


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Read the details of a refused call."""
    info, bad = ErrorInfo(), BadRequest()
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = [violation.field for violation in bad.field_violations]
    return Refusal(error.code().name, info.reason, fields, dict(info.metadata))


def authorize_request(wallet_id: str, amount_minor: int, **fields: Any) -> holds.AuthorizeRequest:
    return holds.AuthorizeRequest(
        request_id=an_id(), wallet_id=wallet_id, amount=usd(amount_minor), **fields
    )


def an_id() -> str:
    return str(uuid4())


def usd(amount_minor: int) -> Money:
    return Money(currency_code="USD", amount_minor=amount_minor)


def figures(balance: wallets.Balance) -> tuple[int, int, int, int]:
    parts = (balance.posted, balance.held, balance.captured, balance.available)
    posted, held, captured, available = (part.amount_minor for part in parts)
    return (posted, held, captured, available)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    database: Callable[[str], Database], nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Wallet]:
    """A fresh wallet service on a database of its own."""
    keys, mine = Keys(tmp_path_factory.mktemp("keys")), database("wallet")
    theirs = database("invoicing")
    address = f"127.0.0.1:{choose_port()}"
    invoicing = Invoicing(
        connect(theirs.app_url, connections_max=1), connect(theirs.worker_url, connections_max=2)
    )
    peer = grpc.aio.server()
    add_FactServiceServicer_to_server(FactServicer(invoicing.worker), peer)
    peer_address = f"127.0.0.1:{peer.add_insecure_port('127.0.0.1:0')}"
    await peer.start()
    env = {
        "WALLET_INGEST_ADDRESS": peer_address,
        "WALLET_RATING_ADDRESS": peer_address,
        "WALLET_INVOICING_ADDRESS": peer_address,
        "WALLET_DATABASE_URL": mine.app_url,
        "WALLET_WORKER_DATABASE_URL": mine.worker_url,
        "WALLET_LISTEN_ADDRESS": address,
        "WALLET_TOKEN_KEYS_FILE": keys.file,
        "WALLET_INTERNAL_TOKEN_FILE": keys.internal_token_file(),
        "WALLET_DRAIN_SECONDS": "1",
        "WALLET_TEST_CLOCK": "1",
        "NATS_URL": nats_url,
    }
    stopping = asyncio.Event()
    serving = asyncio.create_task(serve(Settings.from_env(env), stopping))
    async with grpc.aio.insecure_channel(address) as channel:
        ready = asyncio.create_task(channel.channel_ready())
        await asyncio.wait([ready, serving], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert ready.done(), "the wallet does not answer"
        service = Wallet(channel, keys, invoicing)
        await service.move(days=1)
        yield service
    stopping.set()
    await serving
    await peer.stop(None)
    await invoicing.engine.dispose()
    await invoicing.worker.dispose()


@pytest.fixture
def wallet(running: Wallet) -> Wallet:
    """The service, for a tenant of which nothing is stored yet."""
    running.tenant += 1
    return running


@pytest.fixture
def client(wallet: Wallet) -> Client:
    """A client of the test's tenant."""
    return wallet.client()
