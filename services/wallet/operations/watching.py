"""Following balances: an answer each time that one has become another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from libs.errors import Exhausted, Unavailable
from libs.worker import wait
from services.wallet.domain.wallet import Balance
from services.wallet.operations.desk import Desk
from services.wallet.operations.wallets import get_wallet

LOOK_SECONDS = 0.5  # Between two looks of a stream: they cost a short query each.
WATCHES_MAX = 100  # Of one process.


class Watches:
    """Streams of balances, not too many. They hold no connection between their looks."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._count = 0

    async def follow(self, desk: Desk, wallet_id: UUID) -> AsyncGenerator[Balance, None]:
        """Give the balance of a wallet, and each change; end when the wallet was ended.

        Raises:
            WalletNotFound: the tenant has no such wallet.
            Exhausted: the process has a hundred streams already.
            Unavailable: the process stops, or the database is away.
        """
        if self._count >= WATCHES_MAX:
            raise Exhausted(f"{WATCHES_MAX} streams of balances are open")
        self._count += 1
        try:
            told: Balance | None = None
            while True:
                wallet, balance = await get_wallet(desk, wallet_id)
                if balance != told:
                    told = balance
                    yield balance
                if wallet.terminated_at is not None:
                    return
                if await wait(self._stopping, LOOK_SECONDS):
                    raise Unavailable("the process stops: watch again")
        finally:
            self._count -= 1
