"""A wallet database, and a desk at which a test does a tenant's operations."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, connect
from libs.money import Money
from libs.requests import Request
from libs.tenant import Tenant
from services.wallet.domain.grant import GrantKind, GrantOrder
from services.wallet.domain.wallet import Balance, Credits, Scope, Wallet
from services.wallet.operations import wallets
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.desk import Desk
from services.wallet.operations.orders import (
    Answer,
    Authorize,
    Capture,
    GrantCredits,
    Order,
    Release,
)
from tally.wallet.v1.hold_service_pb2 import AuthorizeResponse, CaptureResponse, ReleaseResponse
from tests.servers import Database

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class StandingClock:
    """A time that only moves when a test moves it."""

    instant: datetime = START

    def now(self) -> datetime:
        return self.instant

    def on_change(self, kick: Callable[[], None]) -> None:
        pass

    def move(self, **by: int) -> None:
        self.instant += timedelta(**by)


@dataclass
class Counter:
    """A tenant's wallet desk, with what does not matter filled in."""

    desk: Desk
    clock: StandingClock
    worker: AsyncEngine
    clerk: Clerk
    customer_id: str = field(default_factory=lambda: f"customer-{uuid4()}")

    async def open(self, *, priority: int = 50, scope: Scope | None = None) -> UUID:
        """Open a wallet of the customer."""
        wallet = Wallet(
            uuid4(), self.customer_id, "USD", "", priority, scope or Scope(), self.clock.now()
        )
        await wallets.create_wallet(self.desk, a_request(), wallet)
        return wallet.wallet_id

    async def grant(
        self,
        wallet_id: UUID,
        amount_minor: int,
        *,
        expires_at: datetime | None = None,
        credits: Decimal | None = None,
    ) -> UUID:
        """Put purchased credit in."""
        amount = usd(amount_minor) if credits is None else Credits(credits)
        order = GrantOrder(wallet_id, GrantKind.PURCHASED, amount, 50, None, expires_at, "")
        answer = await self.do(GrantCredits(order=order))
        return UUID(answer.grant.grant_id)

    async def filled(self, amount_minor: int) -> UUID:
        """Open a wallet with one grant."""
        wallet_id = await self.open()
        await self.grant(wallet_id, amount_minor)
        return wallet_id

    async def hold(
        self,
        wallet_id: UUID,
        amount_minor: int,
        *,
        subscription: str | None = None,
        minutes: int = 15,
        request: Request | None = None,
    ) -> AuthorizeResponse:
        order = Authorize(
            wallet_id=wallet_id,
            amount=usd(amount_minor),
            ttl=timedelta(minutes=minutes),
            subscription_id=subscription,
        )
        return await self.do(order, request)

    async def capture(
        self, hold_id: str, amount_minor: int, *, final: bool = True
    ) -> CaptureResponse:
        return await self.do(Capture(hold_id=hold_id, amount=usd(amount_minor), final=final))

    async def release(self, hold_id: str) -> ReleaseResponse:
        return await self.do(Release(hold_id=hold_id))

    async def do(self, order: Order[Answer], request: Request | None = None) -> Answer:
        """Have an order done by the clerk."""
        return await self.clerk.do(self.desk.tenant, request or a_request(), order)

    async def standing(self, wallet_id: UUID) -> tuple[int, int, int]:
        """Return what the wallet has available, held and captured."""
        _, balance = await wallets.get_wallet(self.desk, wallet_id)
        return figures(balance)

    async def query(self, sql: str, **values: object) -> list[Any]:
        """Read the tables as the tenant."""
        async with begin(self.desk.engine, self.desk.tenant) as conn:
            return list((await conn.execute(text(sql), values)).all())

    async def facts(self) -> list[str]:
        """Return the names of what was announced, in order."""
        rows = await self.query("SELECT subject FROM outbox ORDER BY id")
        return [row.subject.rpartition(".")[2] for row in rows]

    def of_tenant(self, tenant: int) -> Counter:
        """Return the same desk for another tenant."""
        return replace(self, desk=replace(self.desk, tenant=Tenant(tenant)))


def a_request(content: str = "") -> Request:
    """Return a request that never came before."""
    return Request("tests.Request", uuid4(), hashlib.sha256(content.encode()).digest())


def usd(amount_minor: int) -> Money:
    return Money("USD", amount_minor)


def figures(balance: Balance) -> tuple[int, int, int]:
    return (balance.available_minor, balance.held_minor, balance.captured_minor)


@pytest.fixture(scope="session")
def wallet_database(database: Callable[[str], Database]) -> Database:
    return database("wallet")


tenants = iter(range(1, 1_000_000))


@pytest.fixture
async def counter(wallet_database: Database) -> AsyncIterator[Counter]:
    """The desk of a tenant of which nothing is stored yet."""
    engine = connect(wallet_database.app_url, connections_max=8)
    worker = connect(wallet_database.worker_url, connections_max=2)
    clock = StandingClock()
    clerk = Clerk(engine, clock, lambda: None)
    yield Counter(Desk(engine, clock, Tenant(next(tenants))), clock, worker, clerk)
    await engine.dispose()
    await worker.dispose()
