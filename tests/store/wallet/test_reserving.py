"""Unbilled usage in the database: told again and again, until an invoice settles it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from libs.db import begin
from services.wallet.domain.burn_down import InsufficientBalance
from services.wallet.domain.reservation import Unbilled, UnbilledLine
from services.wallet.operations import wallets
from services.wallet.operations.paying import apply_credits
from services.wallet.operations.reserving import reserve_unbilled
from tests.store.wallet.conftest import Counter
from tests.store.wallet.test_paying import HASH, an_invoice


async def test_a_greater_revision_replaces_what_was_reserved(counter: Counter) -> None:
    wallet_id, period_id = await counter.filled(100), uuid4()
    await tell(counter, period_id, 40, revision=2)
    await tell(counter, period_id, 90, revision=1)  # It comes late.
    assert await reserved_in(counter, wallet_id) == (40, 60)
    await tell(counter, period_id, 130, revision=3)
    await tell(counter, uuid4(), 5, revision=1)  # Of another period.
    assert await reserved_in(counter, wallet_id) == (135, -35)
    await tell(counter, period_id, 0, revision=4)
    assert await reserved_in(counter, wallet_id) == (5, 95)
    with pytest.raises(InsufficientBalance):
        await counter.hold(wallet_id, 96)
    await counter.hold(wallet_id, 95)


async def test_what_is_captured_for_a_subscription_is_not_reserved_again(counter: Counter) -> None:
    first, second = await counter.filled(100), await counter.filled(100)
    held = await counter.hold(second, 60, subscription="s")
    await counter.capture(held.hold.hold_id, 60)
    await tell(counter, uuid4(), 75, revision=1)
    assert await reserved_in(counter, first) == (15, 85)
    assert await reserved_in(counter, second) == (0, 40)
    held = await counter.hold(first, 40, subscription="s")
    await counter.capture(held.hold.hold_id, 40)
    assert await reserved_in(counter, first) == (0, 60)


async def test_an_invoice_ends_the_reservation_of_its_periods_for_good(counter: Counter) -> None:
    wallet_id, period_id = await counter.filled(100), uuid4()
    await tell(counter, period_id, 40, revision=1)
    invoice = replace(an_invoice(counter, [40], "s"), settled_ids=frozenset({period_id, uuid4()}))
    await apply_credits(counter.desk, invoice, HASH)
    await tell(counter, period_id, 41, revision=2)
    assert await reserved_in(counter, wallet_id) == (0, 60)


async def test_usage_that_is_told_while_others_hold_waits_for_them(counter: Counter) -> None:
    wallet_ids = [await counter.filled(100) for _ in range(3)]
    told = (tell(counter, uuid4(), 10, revision=1) for _ in range(10))
    held = (counter.hold(wallet_id, 100) for wallet_id in wallet_ids)
    outcomes = await asyncio.gather(*told, *held, return_exceptions=True)
    unexpected = [one for one in outcomes if isinstance(one, Exception)]
    assert all(isinstance(one, InsufficientBalance) for one in unexpected)
    total = sum([(await reserved_in(counter, wallet_id))[0] for wallet_id in wallet_ids])
    assert total == 100


async def tell(counter: Counter, period_id: UUID, gross_minor: int, *, revision: int) -> None:
    lines = [UnbilledLine("usage", "calls", gross_minor)] if gross_minor else []
    told = Unbilled(counter.customer_id, "USD", period_id, "s", revision, lines)
    desk = counter.desk
    async with begin(desk.engine, desk.tenant) as conn:
        await reserve_unbilled(conn, desk.tenant, [told], desk.now())


async def reserved_in(counter: Counter, wallet_id: UUID) -> tuple[int, int]:
    """Return what is reserved and what can be spent."""
    _, balance = await wallets.get_wallet(counter.desk, wallet_id)
    return (balance.reserved_minor, balance.spendable_minor)
