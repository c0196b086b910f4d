"""Work in the background: what lapses on wallets that nobody touches."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox
from libs.clock import Clock
from libs.consumer import FactConsumer
from libs.db import begin_worker
from libs.idle import Idle
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import settle
from services.wallet.store import sessions as session_store
from services.wallet.store import wallets as wallet_store

log = logging.getLogger(__name__)

BATCH_MAX = 100


class Expiry:
    """Posts what is due, wallet by wallet: each is a transaction of its own tenant."""

    def __init__(
        self,
        engine: AsyncEngine,
        worker: AsyncEngine,
        clock: Clock,
        committed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._clock = clock
        self._committed = committed

    async def step(self) -> bool:
        """Post what is due on up to `BATCH_MAX` wallets; return whether there was anything.

        A wallet that fails does not keep the others waiting; the last failure is raised.
        """
        async with begin_worker(self._worker) as conn:
            due = await wallet_store.find_due(conn, self._clock.now(), limit=BATCH_MAX)
        failed: Exception | None = None
        for tenant, wallet_id in due:
            try:
                await settle(Desk(self._engine, self._clock, tenant), wallet_id)
            except Exception as error:
                log.warning("wallet cannot be settled", extra={"wallet_id": str(wallet_id)})
                failed = error
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
        head = await outbox.load_head(conn)
    reasons = {
        "facts of others wait": behind,
        "wallets are due": due.count,
        "sessions are due": lapsing.count,
        "facts are unpublished": head.waiting,
    }
    busy = [f"{count} {what}" for what, count in reasons.items() if count > 0]
    return Idle(
        busy=[*busy, *(["orders are being done"] if serving else [])],
        marks={"outbox": head.seq},
        next_due_at=min(filter(None, (due.next_at, lapsing.next_at)), default=None),
    )
