"""Past events count where they would have counted had the catalog always been so."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from sqlalchemy import text

from libs.db import begin_worker
from libs.errors import Unavailable
from services.rating.loops.reattributor import STOPPED, Reattributor
from services.rating.operations.rating import rate_period
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.subscriptions import terminate_subscription
from tests.store.rating.conftest import JANUARY, TENANT, World, a_request, an_event, instant

NOON = instant("2024-01-10 12:00")
FEBRUARY = instant("2024-02-01 00:10")


async def cells(world: World) -> list[tuple[object, ...]]:
    """Return the counts of calls by subscription and day."""
    return await world.fetch(
        "SELECT subscription_id, day::text, event_count FROM cells"
        " JOIN terms USING (tenant, term_id)"
        " JOIN subscriptions USING (tenant, subscription_uid) ORDER BY 1, 2"
    )


async def unattributed(world: World) -> int:
    rows = await world.fetch("SELECT coalesce(sum(event_count), 0)::int FROM unattributed")
    found: int = rows[0][0]
    return found


async def terminate(world: World, subscription_id: str, *, now: datetime) -> None:
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id=subscription_id, end=None, now=now
    )


async def test_a_backdated_subscription_takes_the_events_it_missed(world: World) -> None:
    await world.fold(*[an_event("acme", NOON)] * 2)
    await world.fold(an_event("acme", instant("2023-12-31 23:59")), an_event("blue", NOON))
    await world.subscribe("acme", now=NOON)
    await world.fold(an_event("acme", NOON))
    assert await cells(world) == [("acme", "2024-01-10", 1)]
    assert await reattribute_next(world.worker, world)
    assert await cells(world) == [("acme", "2024-01-10", 3)]
    assert await unattributed(world) == 2, "one before the start, one of another customer"
    assert not await reattribute_next(world.worker, world)


async def test_without_earlier_events_there_is_nothing_to_do(world: World) -> None:
    await world.fold(an_event("acme", instant("2023-12-30 12:00")))
    await world.subscribe("acme", now=NOON)
    assert not await reattribute_next(world.worker, world)


async def test_an_earlier_start_takes_over_what_another_subscription_had(world: World) -> None:
    await world.subscribe("late", customer="acme", start=instant("2024-01-05"), now=NOON)
    await world.fold(an_event("acme", NOON), an_event("acme", NOON, subscription="late"))
    assert await cells(world) == [("late", "2024-01-10", 2)]
    await world.subscribe("early", customer="acme", now=NOON)
    await reattribute_next(world.worker, world)
    assert await cells(world) == [("early", "2024-01-10", 1), ("late", "2024-01-10", 1)]


async def test_a_termination_drops_what_lies_after_it(world: World) -> None:
    await world.subscribe("acme")
    ahead = instant("2024-01-10 12:30")
    await world.fold(an_event("acme", NOON), an_event("acme", ahead), an_event("acme", ahead))
    await terminate(world, "acme", now=instant("2024-01-10 12:10"))
    await reattribute_next(world.worker, world)
    assert await cells(world) == [("acme", "2024-01-10", 1)]
    assert await unattributed(world) == 2


async def test_nothing_is_announced_or_closed_while_usage_is_not_whole(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(*[an_event("acme", NOON)] * 3)
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    await world.subscribe("other", customer="acme", now=FEBRUARY, start=instant("2024-01-02"))
    with pytest.raises(Unavailable):
        await world.close(period_id, FEBRUARY)
    assert await world.announce(FEBRUARY) == 0
    await reattribute_next(world.worker, world)
    assert (await world.close(period_id, FEBRUARY)).amount.amount_minor == 3
    assert await world.announce(FEBRUARY) == 1
    assert (await world.subjects()).count("PeriodUsageChanged") == 1


async def test_a_closed_period_that_loses_usage_is_announced_and_adjusted(world: World) -> None:
    await world.subscribe("late", customer="acme", start=instant("2024-01-05"))
    await world.fold(*[an_event("acme", NOON)] * 3)
    await world.announce(FEBRUARY)
    period_id = await world.period_id("late")
    await world.close(period_id, FEBRUARY)
    await world.subscribe("early", customer="acme", start=JANUARY, now=FEBRUARY)
    with pytest.raises(Unavailable):
        await world.adjust(period_id, 1)
    await reattribute_next(world.worker, world)
    assert (await world.adjust(period_id, 1)).amount.amount_minor == -3
    taken = await rate_period(world.app, world, TENANT, await world.period_id("early"))
    assert taken.rated.amount.amount_minor == 3


async def test_a_second_change_before_the_first_is_worked_off_counts_all_once(
    world: World,
) -> None:
    await world.fold(*[an_event("acme", NOON)] * 2)
    await world.subscribe("one", customer="acme", start=instant("2024-01-10"), now=FEBRUARY)
    await world.fold(an_event("acme", NOON))
    await world.subscribe("two", customer="acme", start=instant("2024-01-09"), now=FEBRUARY)
    await world.fold(an_event("acme", NOON), an_event("acme", instant("2024-01-09 12:00")))
    await reattribute_next(world.worker, world)
    assert await cells(world) == [("two", "2024-01-09", 1), ("two", "2024-01-10", 4)]
    assert await unattributed(world) == 0


async def test_a_termination_and_an_announcement_lock_in_the_same_order(world: World) -> None:
    names = ("a", "b", "c", "d")
    for name in names:
        await world.subscribe(name, customer="acme")
    await world.fold(an_event("acme", instant("2024-02-01 00:12"), subscription="a"))
    periods = await world.fetch(
        "SELECT period_id, subscription_id FROM billing_periods"
        " WHERE usage_end = '2024-02-01' ORDER BY period_id"
    )
    (first, _), (last, name) = periods[0], periods[-1]
    lock = text("SELECT 1 FROM billing_periods WHERE period_id = :id FOR NO KEY UPDATE")
    async with begin_worker(world.worker) as conn:
        await conn.execute(lock, {"id": first})
        terminating = asyncio.create_task(terminate(world, str(name), now=FEBRUARY))
        while not await world.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not terminating.done()
        await conn.execute(lock, {"id": last})
    await terminating


async def test_a_job_whose_events_were_dropped_waits_and_others_go_on(world: World) -> None:
    early = instant("2024-01-05 12:00")
    await world.fold(an_event("acme", early), an_event("blue", NOON))
    await world.subscribe("acme", now=NOON)
    await world.subscribe("blue", start=instant("2024-01-10"), now=NOON)
    world.dropped_before = instant("2024-01-09")
    finished: list[bool] = []
    reattributor = Reattributor(world.worker, world, finished=lambda: finished.append(True))
    assert [await reattributor.step() for _ in range(3)] == [True, True, False]
    assert await cells(world) == [("blue", "2024-01-10", 1)]
    assert finished == [True]
    assert await world.fetch("SELECT customer_id FROM reattributions") == [("acme",)]
    assert STOPPED._value.get() == 1
