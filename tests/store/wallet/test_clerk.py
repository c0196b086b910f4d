"""Orders that come together: one transaction, and an outcome for each as if it had come alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from libs.db import begin
from libs.requests import RequestIdReused
from services.wallet.domain.burn_down import InsufficientBalance
from services.wallet.domain.hold import AlreadyCaptured, HoldNotFound
from services.wallet.domain.wallet import WalletNotFound
from services.wallet.operations.clerk import GROUP_MAX, Clerk
from services.wallet.operations.orders import Authorize, Opened, Order
from services.wallet.store.books import lock_book
from tests.store.wallet.conftest import Counter, a_request, usd
from tests.wait import until

TRANSACTIONS = "SELECT DISTINCT xmin::text FROM transactions WHERE reason = 'HOLD'"
NO_HOLD = "std_018f3f4e-0000-7000-8000-000000000000"
WAITING = """
    SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database()"""
ROUNDS = 20


async def test_orders_that_come_together_share_a_transaction(counter: Counter) -> None:
    wallets = [await counter.filled(100), await counter.filled(100)]
    await asyncio.gather(*(counter.hold(wallet_id, 1) for wallet_id in wallets * 40))
    assert [await counter.standing(wallet_id) for wallet_id in wallets] == [(60, 40, 0)] * 2
    assert len(await counter.query(TRANSACTIONS)) == 1


async def test_no_group_is_larger_than_it_may_be(counter: Counter) -> None:
    wallet_id = await counter.filled(1_000)
    await asyncio.gather(*(counter.hold(wallet_id, 1) for _ in range(GROUP_MAX + 1)))
    assert await counter.standing(wallet_id) == (999 - GROUP_MAX, GROUP_MAX + 1, 0)
    assert len(await counter.query(TRANSACTIONS)) == 2


async def test_a_refusal_among_them_is_one_order_s_alone(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    held = (await counter.hold(wallet_id, 10)).hold.hold_id
    late = a_request()
    outcomes = await together(
        counter.hold(wallet_id, 60),
        counter.hold(wallet_id, 60, request=late),
        counter.capture(held, 10),
        counter.capture(held, 10),
        counter.release(NO_HOLD),
        counter.hold(UUID(int=1), 1),
        counter.hold(wallet_id, 30),
    )
    assert [type(one) for one in outcomes if isinstance(one, Exception)] == [
        InsufficientBalance,
        AlreadyCaptured,
        HoldNotFound,
        WalletNotFound,
    ]
    assert await counter.standing(wallet_id) == (0, 90, 0)
    await counter.grant(wallet_id, 60)
    await counter.hold(wallet_id, 60, request=late)
    assert await counter.standing(wallet_id) == (0, 150, 0)


async def test_repeats_in_a_group_get_the_first_answer(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    request = a_request("10")
    other = replace(request, digest=a_request("11").digest)
    first, again, reused = await together(
        counter.hold(wallet_id, 10, request=request),
        counter.hold(wallet_id, 10, request=request),
        counter.hold(wallet_id, 11, request=other),
    )
    assert first == again
    assert isinstance(reused, RequestIdReused)
    assert await counter.standing(wallet_id) == (90, 10, 0)


async def test_an_id_taken_meanwhile_for_another_wallet_fails_no_neighbour(
    counter: Counter,
) -> None:
    """Different wallets do not wait for each other: whoever stores its answer first has the id."""
    here, there = await counter.filled(1_000), await counter.filled(1_000)
    process = replace(counter, clerk=Clerk(counter.desk.engine, counter.clock, lambda: None))
    for _ in range(ROUNDS):
        request = a_request("here")
        other = replace(request, digest=a_request("there").digest)
        outcomes = await together(
            counter.hold(here, 1, request=request),
            counter.hold(here, 1),
            process.hold(there, 1, request=other),
            process.hold(there, 1),
        )
        assert [type(one) for one in outcomes if isinstance(one, Exception)] == [RequestIdReused]
    held = [(await counter.standing(wallet_id))[1] for wallet_id in (here, there)]
    assert sum(held) == 3 * ROUNDS


@dataclass(frozen=True, slots=True)
class Mistaken:
    """An order with a mistake of ours in it."""

    order: Authorize

    @property
    def wallet_ids(self) -> tuple[UUID, ...]:
        return self.order.wallet_ids

    @property
    def hold_id(self) -> None:
        return None

    def carry_out(self, opened: Opened) -> tuple[Message, Message]:
        self.order.carry_out(opened)
        raise ZeroDivisionError

    def repeated(self, stored: bytes) -> Message:
        return self.order.repeated(stored)


async def test_a_mistake_of_ours_in_one_fails_no_neighbour(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    mistaken: Order[Any] = Mistaken(an_authorization(wallet_id, 5))
    outcomes = await together(
        counter.hold(wallet_id, 10), counter.do(mistaken), counter.hold(wallet_id, 20)
    )
    assert [isinstance(one, ZeroDivisionError) for one in outcomes] == [False, True, False]
    assert await counter.standing(wallet_id) == (70, 30, 0)


async def test_who_leaves_before_its_turn_is_not_served_and_who_leaves_later_is(
    counter: Counter,
) -> None:
    wallet_id = await counter.filled(100)

    async def waits_for_the_wallet() -> bool:
        return bool(await counter.query(WAITING))

    async with begin(counter.desk.engine, counter.desk.tenant) as conn:
        await lock_book(conn, counter.desk.tenant, wallet_id)
        served = asyncio.create_task(counter.hold(wallet_id, 1))
        await until(waits_for_the_wallet)
        next_in_turn = asyncio.create_task(counter.hold(wallet_id, 10))
        await counter.facts()  # Meanwhile it takes its place.
        served.cancel()
        next_in_turn.cancel()
        await asyncio.wait([served, next_in_turn])
    await until(lambda: not counter.clerk.busy)
    assert await counter.standing(wallet_id) == (99, 1, 0)


def an_authorization(wallet_id: UUID, amount_minor: int) -> Authorize:
    ttl = timedelta(minutes=15)
    return Authorize(wallet_id=wallet_id, amount=usd(amount_minor), ttl=ttl, subscription_id=None)


async def together(*calls: Any) -> Sequence[Any]:
    """Make calls at once; return the answer or the error of each."""
    return await asyncio.gather(*calls, return_exceptions=True)
