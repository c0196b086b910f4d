"""Work in the background: what lapses on wallets that nobody touches, and rules that top up."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox
from libs.clock import Clock
from libs.consumer import FactConsumer
from libs.db import begin_worker
from libs.idle import Idle
from libs.tenant import Tenant
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.desk import Desk
from services.wallet.store import sessions as session_store
from services.wallet.store import top_up_rules as rule_store
from services.wallet.store import wallets as wallet_store

log = logging.getLogger(__name__)

BATCH_MAX = 100

Find = Callable[..., Awaitable[Sequence[tuple[Tenant, UUID]]]]
Do = Callable[[Desk, UUID], Awaitable[None]]


class DueWallets:
    """Does what is due, wallet by wallet: each is a transaction of its own tenant."""

    def __init__(
        self,
        engine: AsyncEngine,
        worker: AsyncEngine,
        clock: Clock,
        committed: Callable[[], None],
        *,
        find: Find,
        do: Do,
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._clock = clock
        self._committed = committed
        self._find = find  # Of all tenants.
        self._do = do

    async def step(self) -> bool:
        """Do it on up to `BATCH_MAX` wallets; return whether there was anything.

        A wallet that fails does not keep the others waiting; the last failure is raised.
        """
        async with begin_worker(self._worker) as conn:
            due = await self._find(conn, self._clock.now(), limit=BATCH_MAX)
        failed: Exception | None = None
        for tenant, wallet_id in due:
            try:
                await self._do(Desk(self._engine, self._clock, tenant), wallet_id)
            except Exception as error:
                log.warning("wallet fails", extra={"wallet_id": str(wallet_id)})
                failed = error
        if due:
            self._committed()
        if failed is not None:
            raise failed
        return bool(due)


async def idle(worker: AsyncEngine, clock: Clock, clerk: Clerk, *sources: FactConsumer) -> Idle:
    """Tell what is left to do at this instant of business time."""
    behind = sum([await source.lag() for source in sources])
    serving = clerk.busy  # Before looking: what it commits meanwhile is seen there.
    async with begin_worker(worker) as conn:
        due = await wallet_store.load_due(conn, clock.now())
        lapsing = await session_store.load_due(conn, clock.now())
        rules = await rule_store.load_due(conn, clock.now())
        head = await outbox.load_head(conn)
    reasons = {
        "facts of others wait": behind,
        "wallets are due": due.count,
        "sessions are due": lapsing.count,
        "top-up rules are due": rules.count,
        "facts are unpublished": head.waiting,
    }
    busy = [f"{count} {what}" for what, count in reasons.items() if count > 0]
    return Idle(
        busy=[*busy, *(["orders are being done"] if serving else [])],
        marks={"outbox": head.seq},
        next_due_at=min(filter(None, (due.next_at, lapsing.next_at, rules.next_at)), default=None),
    )
