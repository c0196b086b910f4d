"""Metering sessions: usage is decided here, recorded by ingest and estimated by rating.

What a message adds is stored before it is recorded, so whoever goes on with a session records its
last usage again: the event's id is that of the session and its sequence, and it counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.db import begin_worker
from libs.requests import Request, RequestIdReused
from libs.tenant import Tenant
from services.wallet.domain.session import Report, Session, added_by
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.desk import Desk
from services.wallet.operations.orders import Order
from services.wallet.operations.peers import Ingest, Rating
from services.wallet.operations.session_orders import (
    CloseSession,
    OpenSession,
    ReportUsage,
    SessionMoved,
    standing,
)
from services.wallet.store import books as book_store
from services.wallet.store import holds as hold_store
from services.wallet.store import sessions as session_store
from tally.wallet.v1.hold_service_pb2 import MeterSessionResponse

METHOD = "tally.wallet.v1.MeterSession"
ATTEMPTS = 5  # To take usage while another stream of the session does.
BATCH_MAX = 100

Answered = tuple[Session, MeterSessionResponse]


@dataclass(frozen=True, slots=True)
class Meter:
    """Takes the steps of sessions. None asks a peer while a wallet is locked."""

    engine: AsyncEngine
    worker: AsyncEngine
    clock: Clock
    clerk: Clerk
    ingest: Ingest
    rating: Rating

    async def open(self, tenant: Tenant, order: OpenSession) -> Answered:
        """Open a session, or resume it.

        Raises:
            RequestIdReused: it was opened otherwise.
            WalletNotFound, WalletTerminated, CurrencyMismatch, InsufficientBalance.
            Unavailable: a service is away.
        """
        desk = self._desk(tenant)
        async with desk.begin() as conn:
            session = await session_store.find_session(conn, tenant, order.session_id)
        if session is None:
            request = Request(METHOD, order.session_id, order.digest)
            await self.clerk.do(tenant, request, order)
            session = await self._load(tenant, order.session_id)
        if session.digest != order.digest:
            raise RequestIdReused(f"session {order.session_id} was opened otherwise")
        await self.ingest.record(tenant, session)
        await self.keep(tenant, session)
        return session, await self._standing(tenant, session)

    async def report(
        self, tenant: Tenant, session: Session, sequence: int, quantities: Mapping[str, Decimal]
    ) -> Answered:
        """Take the totals of a session, once.

        Raises:
            SessionClosed: it has ended.
            FieldInvalid, FieldsInvalid: a total fell, or makes no event.
            CurrencyMismatch: the subscription is billed in another currency.
            Unavailable: a service is away.
        """
        for _ in range(ATTEMPTS):
            if sequence <= session.sequence:
                return session, await self._standing(tenant, session)
            added = added_by(session, quantities)
            report = Report(sequence, quantities, added, Decimal(0), self.clock.now())
            report = replace(report, cost=await self.rating.cost(tenant, session, report))
            order = ReportUsage(hold_id=session.hold_id, report=report, after=session.sequence)
            try:
                answer = await self._do(tenant, order)
            except SessionMoved:
                answer = None
            session = await self._load(tenant, session.session_id)
            await self.ingest.record(tenant, session)
            if answer is not None:
                return session, answer
        raise SessionMoved(f"session {session.session_id} is used by another stream")

    async def close(
        self, tenant: Tenant, session: Session, *, lapsed: bool = False
    ) -> MeterSessionResponse:
        """End a session; if `lapsed`, only if it has not been heard of. A repeat changes nothing.

        Raises:
            Unavailable: a service is away.
        """
        await self.ingest.record(tenant, session)
        return await self._do(tenant, CloseSession(hold_id=session.hold_id, lapsed=lapsed))

    async def keep(self, tenant: Tenant, session: Session) -> None:
        """Put off the deadline of a session: its client is there."""
        desk = self._desk(tenant)
        async with desk.begin() as conn:
            until = desk.now() + session.grace
            await session_store.keep(conn, tenant, session.session_id, until)

    async def step(self) -> bool:
        """End sessions that nobody has been heard of in time; return whether there were any."""
        async with begin_worker(self.worker) as conn:
            due = await session_store.find_due(conn, self.clock.now(), limit=BATCH_MAX)
        for tenant, session_id in due:
            await self.close(tenant, await self._load(tenant, session_id), lapsed=True)
        return bool(due)

    async def _standing(self, tenant: Tenant, session: Session) -> MeterSessionResponse:
        desk = self._desk(tenant)
        async with desk.begin() as conn:
            book = await book_store.lock_book(conn, tenant, session.wallet_id)
            hold = await hold_store.load_hold(conn, tenant, session.hold_id)
            [found] = await session_store.find_of_holds(conn, tenant, [session.hold_id])
            return standing(book, found, hold, desk.now())

    async def _load(self, tenant: Tenant, session_id: UUID) -> Session:
        async with self._desk(tenant).begin() as conn:
            session = await session_store.find_session(conn, tenant, session_id)
        assert session is not None
        return session

    async def _do(self, tenant: Tenant, order: Order[MeterSessionResponse]) -> MeterSessionResponse:
        """Have a step done; a session's own row tells whether it was, so its request id is new."""
        return await self.clerk.do(tenant, Request(METHOD, uuid4(), NO_CONTENT), order)

    def _desk(self, tenant: Tenant) -> Desk:
        return Desk(self.engine, self.clock, tenant)


NO_CONTENT = hashlib.sha256().digest()
