"""Whatever is done to a customer's wallets, at once and as time goes by: the books agree."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from uuid import UUID

import pytest

from libs.errors import TallyError
from services.wallet.domain.apply_credits import Invoice
from services.wallet.operations.paying import apply_credits, return_credits
from services.wallet.operations.wallet_orders import (
    TerminateWallet,
    TransferCredits,
    VoidCredits,
)
from services.wallet.operations.wallets import get_wallet
from tests.store.wallet.conftest import Counter, usd
from tests.store.wallet.test_paying import HASH, an_invoice
from tests.store.wallet.test_verifying import checked

ROUNDS, AT_ONCE = 6, 6


@pytest.mark.parametrize("seed", range(2))
async def test_no_interleaving_of_commands_and_time_breaks_an_invariant(
    seed: int, counter: Counter
) -> None:
    crowd = Crowd(counter, Random(seed), [await counter.filled(200) for _ in range(3)])
    done = 0
    for _ in range(ROUNDS):
        drawn = [crowd.command() for _ in range(AT_ONCE)]
        outcomes = await asyncio.gather(*drawn, return_exceptions=True)
        for outcome in outcomes:
            assert outcome is None or isinstance(outcome, TallyError), outcome
        done += sum(outcome is None for outcome in outcomes)
        counter.clock.move(days=crowd.random.randint(0, 4))
        found, _ = await checked(counter)
        assert found == []
    assert done > ROUNDS * AT_ONCE // 3  # It is not all refusals.
    for wallet_id in crowd.wallets:
        await get_wallet(counter.desk, wallet_id)  # Posts what lapsed.
    found, _ = await checked(counter)
    assert found == []


class Crowd:
    """Callers who do anything that can be done, and know what others did before."""

    def __init__(self, counter: Counter, random: Random, wallets: list[UUID]) -> None:
        self.random = random
        self.wallets = wallets
        self._counter = counter
        self._holds: list[str] = []
        self._invoices: list[Invoice] = []

    def command(self) -> Awaitable[None]:
        """Return the next thing that somebody does."""
        commands: list[Callable[[], Awaitable[None]]] = [
            self._grant,
            self._hold,
            self._capture,
            self._release,
            self._pay,
            self._pay,
            self._give_back,
            self._void,
            self._transfer,
            self._end,
        ]
        return self.random.choices(commands, weights=[3, 3, 3, 1, 2, 2, 2, 2, 3, 1])[0]()

    async def _grant(self) -> None:
        expires_at = self._counter.clock.now().replace(hour=12)  # Of the same day.
        lapses = self.random.random() < 0.5
        await self._counter.grant(
            self._wallet(), self._amount(), expires_at=expires_at if lapses else None
        )

    async def _hold(self) -> None:
        subscription = self.random.choice([None, "s"])
        minutes = self.random.choice([15, 3 * 24 * 60])
        answer = await self._counter.hold(
            self._wallet(), self._amount(), subscription=subscription, minutes=minutes
        )
        self._holds.append(answer.hold.hold_id)

    async def _capture(self) -> None:
        if self._holds:
            final = self.random.random() < 0.5
            hold_id = self.random.choice(self._holds)
            await self._counter.capture(hold_id, self.random.randint(0, 20), final=final)

    async def _release(self) -> None:
        if self._holds:
            await self._counter.release(self.random.choice(self._holds))

    async def _pay(self) -> None:
        invoice = an_invoice(self._counter, [self._amount(), self._amount()], "s")
        self._invoices.append(invoice)
        await apply_credits(self._counter.desk, invoice, HASH)

    async def _give_back(self) -> None:
        if self._invoices:
            invoice = self.random.choice(self._invoices)
            await return_credits(self._counter.desk, invoice.invoice_id)

    async def _void(self) -> None:
        amount = usd(self._amount())
        await self._counter.do(VoidCredits(wallet_id=self._wallet(), amount=amount, grant_id=None))

    async def _transfer(self) -> None:
        await self._counter.do(
            TransferCredits(
                source_wallet_id=self._wallet(),
                target_wallet_id=self._wallet(),
                amount=usd(self._amount()),
            )
        )

    async def _end(self) -> None:
        voids = self.random.random() < 0.5
        await self._counter.do(TerminateWallet(wallet_id=self.wallets[-1], voids=voids))

    def _wallet(self) -> UUID:
        return self.random.choice(self.wallets)

    def _amount(self) -> int:
        return self.random.randint(1, 60)
