"""Holds under concurrency, with repeated and refused requests, and at their deadline."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from libs.requests import RequestIdReused
from services.wallet.domain.burn_down import InsufficientBalance
from services.wallet.domain.hold import (
    AlreadyCaptured,
    AlreadyReleased,
    HoldExpired,
    HoldNotFound,
)
from services.wallet.domain.wallet import WalletNotFound
from services.wallet.loops import DueWallets, idle
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.holds import get_hold
from services.wallet.operations.lapsing import settle
from services.wallet.store.wallets import find_due
from tests.store.wallet.conftest import START, Counter, a_request
from tests.wait import until


async def test_captures_and_releases_that_race_resolve_a_hold_once(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    hold_id = (await counter.hold(wallet_id, 60)).hold.hold_id
    calls = [counter.capture(hold_id, 60) for _ in range(5)]
    outcomes = await asyncio.gather(
        *calls, *(counter.release(hold_id) for _ in range(5)), return_exceptions=True
    )
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert len(refused) == 9
    assert {type(one) for one in refused} in ({AlreadyCaptured}, {AlreadyReleased})
    available = 40 if isinstance(refused[0], AlreadyCaptured) else 100
    assert await counter.standing(wallet_id) == (available, 0, 0)


async def test_two_processes_give_no_more_than_a_wallet_has(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    another = Clerk(counter.desk.engine, counter.clock, lambda: None)
    processes = [counter, replace(counter, clerk=another)]
    for _ in range(10):
        outcomes = await asyncio.gather(
            *(process.hold(wallet_id, 60) for process in processes), return_exceptions=True
        )
        [hold] = [one.hold for one in outcomes if not isinstance(one, BaseException)]
        [refused] = [one for one in outcomes if isinstance(one, BaseException)]
        assert isinstance(refused, InsufficientBalance)
        assert await counter.standing(wallet_id) == (40, 60, 0)
        await counter.release(hold.hold_id)


async def test_one_request_id_from_many_callers_gives_one_hold(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    request = a_request()
    answers = await asyncio.gather(
        *(counter.hold(wallet_id, 10, request=request) for _ in range(20))
    )
    assert len({answer.hold.hold_id for answer in answers}) == 1
    assert await counter.standing(wallet_id) == (90, 10, 0)
    assert (await counter.facts()).count("HoldPlaced") == 1


async def test_a_reused_request_id_with_another_amount_is_refused(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    request = a_request("10")
    await counter.hold(wallet_id, 10, request=request)
    with pytest.raises(RequestIdReused):
        await counter.hold(wallet_id, 11, request=replace(request, digest=a_request("11").digest))


async def test_a_refused_request_id_may_succeed_later(counter: Counter) -> None:
    wallet_id = await counter.filled(5)
    request = a_request()
    with pytest.raises(InsufficientBalance):
        await counter.hold(wallet_id, 10, request=request)
    await counter.grant(wallet_id, 5)
    await counter.hold(wallet_id, 10, request=request)
    assert await counter.standing(wallet_id) == (0, 10, 0)


async def test_a_hold_lapses_in_the_transaction_that_needs_its_money(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    first = await counter.hold(wallet_id, 100, minutes=10)
    counter.clock.move(minutes=9)
    with pytest.raises(InsufficientBalance):
        await counter.hold(wallet_id, 1)
    counter.clock.move(minutes=1)
    await counter.hold(wallet_id, 100)
    with pytest.raises(HoldExpired):
        await counter.capture(first.hold.hold_id, 1)
    assert (await counter.facts())[-2:] == ["HoldExpired", "HoldPlaced"]


async def test_reading_shows_what_has_lapsed(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    hold = (await counter.hold(wallet_id, 60)).hold
    counter.clock.move(minutes=15)
    assert (await get_hold(counter.desk, hold.hold_id)).status == "expired"
    assert await counter.standing(wallet_id) == (100, 0, 0)


async def test_the_loop_expires_what_nobody_touches(counter: Counter) -> None:
    wallet_id = await counter.open()
    await counter.grant(wallet_id, 100, expires_at=START.replace(day=2))
    await counter.hold(wallet_id, 60, minutes=10)
    kicks: list[int] = []
    loop = DueWallets(
        counter.desk.engine,
        counter.worker,
        counter.clock,
        lambda: kicks.append(1),
        find=find_due,
        do=settle,
    )
    before = await idle(counter.worker, counter.clock, counter.clerk)
    assert before.next_due_at is not None and before.next_due_at <= START.replace(minute=10)
    counter.clock.move(days=1)
    assert any(
        "due" in reason
        for reason in (await idle(counter.worker, counter.clock, counter.clerk)).busy
    )

    async def settled() -> bool:
        return not await loop.step()

    await until(settled)
    rows = await counter.query("SELECT held_minor, available_minor, due_at FROM wallets")
    assert [tuple(row) for row in rows] == [(0, 0, None)]
    assert kicks
    expired = ["HoldExpired", "CreditsExpired", "BalanceDepleted"]
    assert (await counter.facts())[-3:] == expired


async def test_another_tenant_finds_neither_wallet_nor_hold(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    hold_id = (await counter.hold(wallet_id, 60)).hold.hold_id
    stranger = counter.of_tenant(999_999)
    with pytest.raises(WalletNotFound):
        await stranger.hold(wallet_id, 1)
    with pytest.raises(HoldNotFound):
        await stranger.release(hold_id)
    assert await stranger.query("SELECT * FROM holds") == []
