"""Top-ups and rules in the database: each once, whoever else is at work."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from libs.db import begin, begin_worker
from services.wallet.domain.top_up import TopUpStatus
from services.wallet.domain.top_up_rule import Below, Fixed, Interval, UpTo
from services.wallet.loops import DueWallets
from services.wallet.operations import topping_up
from services.wallet.operations.top_up_rules import (
    AskedEvery,
    AskedRule,
    archive_rule,
    create_rule,
    update_rule,
)
from services.wallet.operations.topping_up import TopUpOrder, look_at_rules, top_wallet_up
from services.wallet.operations.wallet_orders import TerminateWallet
from services.wallet.store import top_up_rules as store
from tests.store.wallet.conftest import Counter, a_request, usd


@dataclass(frozen=True, slots=True)
class Desk:
    """A wallet whose top-ups a test pays, declines and looks at."""

    counter: Counter
    wallet_id: UUID

    async def top_up(self, paid_minor: int, granted_minor: int = 0) -> UUID:
        order = TopUpOrder(
            self.wallet_id,
            usd(paid_minor) if paid_minor else None,
            usd(granted_minor) if granted_minor else None,
            requires_payment=True,
        )
        answer = await top_wallet_up(self.counter.desk, a_request(), order)
        return UUID(answer.top_up.top_up_id)

    async def rule(self, **fields: Any) -> UUID:
        answer = await create_rule(
            self.counter.desk, a_request(), self.wallet_id, an_order(**fields)
        )
        return UUID(answer.rule.rule_id)

    async def look(self) -> None:
        """Do what is due of rules, as the loop does it, until nothing is."""
        counter = self.counter
        loop = DueWallets(
            counter.desk.engine,
            counter.worker,
            counter.clock,
            lambda: None,
            find=store.find_due,
            do=look_at_rules,
        )
        for _ in range(20):
            if not await loop.step():
                return
        raise AssertionError("rules are due again and again")

    async def paid(self, *top_ups: UUID) -> None:
        desk = self.counter.desk
        async with begin(desk.engine, desk.tenant) as conn:
            await topping_up.settle(conn, desk.tenant, top_ups, desk.now())

    async def failed(self, *top_ups: UUID) -> None:
        desk = self.counter.desk
        async with begin(desk.engine, desk.tenant) as conn:
            await topping_up.give_up(conn, desk.tenant, top_ups, TopUpStatus.FAILED, desk.now())

    async def found(self) -> list[tuple[int, int, str]]:
        rows = await self.counter.query(
            "SELECT paid_minor, granted_minor, status FROM top_ups ORDER BY number"
        )
        return [tuple(row) for row in rows]

    async def pending(self) -> list[UUID]:
        rows = await self.counter.query(
            "SELECT top_up_id FROM top_ups WHERE status = 'pending' ORDER BY number"
        )
        return [row.top_up_id for row in rows]

    async def spend(self, amount_minor: int) -> None:
        answer = await self.counter.hold(self.wallet_id, amount_minor)
        await self.counter.capture(answer.hold.hold_id, amount_minor)


def an_order(**fields: Any) -> AskedRule:
    """A rule that buys 10 at or below 6."""
    given: dict[str, Any] = {
        "name": "",
        "trigger": Below(6),
        "amount": Fixed(10, 0),
        "zone": ZoneInfo("UTC"),
        "requires_payment": True,
        "ignores_limits": False,
        "monthly_cap_minor": None,
        "expires_at": None,
    }
    return AskedRule(**{**given, **fields})


@pytest.fixture
async def desk(counter: Counter) -> Desk:
    return Desk(counter, await counter.filled(20))


async def test_what_is_bought_is_there_once_however_often_and_in_whatever_order_it_is_told(
    desk: Desk,
) -> None:
    first, second, third = await desk.top_up(5, 1), await desk.top_up(7), await desk.top_up(9)
    assert await desk.counter.standing(desk.wallet_id) == (21, 0, 0)
    await asyncio.gather(desk.paid(first, second, first), desk.paid(second), desk.failed(first))
    await desk.failed(third)
    await desk.failed(first)
    assert await desk.counter.standing(desk.wallet_id) == (33, 0, 0)
    await desk.paid(third)  # Though it was given up.
    assert await desk.counter.standing(desk.wallet_id) == (42, 0, 0)
    assert {status for _, _, status in await desk.found()} == {"settled"}
    facts = await desk.counter.facts()
    assert [facts.count(name) for name in ("TopUpRequested", "TopUpSettled")] == [3, 3]


async def test_usage_that_takes_a_wallet_below_its_threshold_tops_it_up_once(desk: Desk) -> None:
    await desk.rule()
    await desk.look()
    await desk.spend(13)
    await desk.look()
    assert await desk.found() == []
    hold = await desk.counter.hold(desk.wallet_id, 7)  # It may be given back.
    await desk.look()
    assert await desk.found() == []
    await desk.counter.capture(hold.hold.hold_id, 3)
    await asyncio.gather(*(look_at_rules(desk.counter.desk, desk.wallet_id) for _ in range(4)))
    await desk.spend(1)
    await desk.look()
    assert await desk.found() == [(10, 0, "pending")]
    await desk.paid(*await desk.pending())
    await desk.spend(8)
    await desk.look()
    assert await desk.found() == [(10, 0, "settled"), (10, 0, "pending")]


async def test_after_a_declined_payment_a_rule_is_looked_at_an_hour_later(desk: Desk) -> None:
    await desk.rule(trigger=Below(30), amount=UpTo(50))
    await desk.look()
    await desk.failed(*await desk.pending())
    await desk.look()
    assert await desk.found() == [(30, 0, "failed")]
    async with begin_worker(desk.counter.worker) as conn:
        due = await store.load_due(conn, desk.counter.clock.now())
    assert due.count == 0 and due.next_at is not None
    assert due.next_at <= desk.counter.clock.now() + timedelta(hours=1)
    desk.counter.clock.move(hours=1)
    await desk.look()
    assert await desk.found() == [(30, 0, "failed"), (30, 0, "pending")]


async def test_days_that_nobody_looked_at_are_each_done_once(desk: Desk) -> None:
    every = AskedEvery(Interval.DAY, None)
    rule_id = await desk.rule(trigger=every, amount=Fixed(0, 2))
    await desk.look()
    assert await desk.found() == []  # Not on the day on which it was made.
    desk.counter.clock.move(days=3)
    await asyncio.gather(*(look_at_rules(desk.counter.desk, desk.wallet_id) for _ in range(3)))
    await desk.look()
    assert await desk.found() == [(0, 2, "settled")] * 3
    changed = an_order(trigger=AskedEvery(Interval.WEEK, date(2025, 1, 1)), amount=Fixed(0, 4))
    await update_rule(desk.counter.desk, a_request(), rule_id, changed)
    await desk.look()
    assert len(await desk.found()) == 3
    desk.counter.clock.move(days=7)
    await desk.look()
    assert await desk.found() == [(0, 2, "settled")] * 3 + [(0, 4, "settled")]
    await archive_rule(desk.counter.desk, a_request(), rule_id)
    desk.counter.clock.move(days=30)
    await desk.look()
    assert len(await desk.found()) == 4


async def test_a_gift_that_does_not_suffice_is_followed_by_another_one(desk: Desk) -> None:
    await desk.rule(trigger=Below(25), amount=Fixed(0, 3))
    await desk.look()
    assert await desk.counter.standing(desk.wallet_id) == (26, 0, 0)


async def test_the_rules_of_a_wallet_that_was_ended_are_archived(desk: Desk) -> None:
    await desk.rule(trigger=Below(1))
    await desk.counter.do(TerminateWallet(wallet_id=desk.wallet_id, voids=True))
    await desk.look()
    assert await desk.found() == []
    rows = await desk.counter.query("SELECT archived_at IS NOT NULL, look_at FROM top_up_rules")
    assert [tuple(row) for row in rows] == [(True, None)]


async def test_the_database_keeps_each_occasion_and_one_outstanding_top_up_of_a_rule(
    desk: Desk,
) -> None:
    rule_id = await desk.rule(trigger=Below(30))
    await desk.look()
    insert = (
        "INSERT INTO top_ups (tenant, top_up_id, wallet_id, currency, paid_minor, granted_minor,"
        " requires_payment, status, rule_id, occasion, created_at, closed_at) SELECT tenant, :id,"
        " wallet_id, currency, 1, 0, true, :status, rule_id, :occasion, created_at,"
        " CASE WHEN :status = 'settled' THEN now() END FROM top_ups WHERE rule_id = :rule LIMIT 1"
    )
    for status, occasion, broken in (
        ("settled", "1", "each_occasion_once"),
        ("pending", "2", "one_outstanding_of_rule"),
    ):
        values = {"id": uuid4(), "status": status, "occasion": occasion, "rule": rule_id}
        with pytest.raises(IntegrityError, match=broken):
            async with begin(desk.counter.desk.engine, desk.counter.desk.tenant) as conn:
                await conn.execute(text(insert), values)
