"""Usage thresholds in a real database: each crossing is announced once, whoever looks."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import pytest

from libs.db import begin_worker
from libs.errors import NotFound
from services.rating.domain.overrides import Overrides
from services.rating.domain.thresholds import UsageThresholds
from services.rating.operations import crossing
from services.rating.operations.crossing import get_crossing
from services.rating.operations.overriding import update_overrides
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.transitions import extend_due
from tally.rating.v1 import events_pb2
from tests.store.rating.conftest import (
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
    place_of,
)

NOON = instant("2024-01-10 12:00")
FEBRUARY = instant("2024-02-01 00:10")
LATER = instant("2024-02-10 12:00")


async def sell(world: World, *amounts: str, step: str | None = None) -> None:
    """A plan of a dollar a call, with thresholds, and acme on it."""
    thresholds = UsageThresholds(
        tuple(map(Decimal, amounts)), None if step is None else Decimal(step)
    )
    await world.create_plan("pro", [a_charge("calls", "1")], usage_thresholds=thresholds)
    await world.subscribe("acme", plan="pro")


async def call(world: World, count: int, at: datetime = NOON) -> None:
    await world.fold(*[an_event("acme", at)] * count)


async def look(world: World, now: datetime = NOON) -> int:
    """Look until nothing is noted; return how often any was crossed."""
    told = 0
    while noted := await crossing.find_changed(world.worker):
        done, more = await crossing.look(world.worker, world, noted, now=now)
        told += more
        if not done:
            break
    return told


async def facts(world: World) -> list[events_pb2.UsageThresholdCrossed]:
    rows = await world.fetch(
        "SELECT payload FROM outbox WHERE subject LIKE '%UsageThresholdCrossed' ORDER BY id"
    )
    return [events_pb2.UsageThresholdCrossed.FromString(payload) for (payload,) in rows]


async def told(world: World) -> list[tuple[list[str], int, str]]:
    """Return what was crossed, the amount of the period and lifetime usage, fact by fact."""
    return [
        (
            [f"{'+' if one.repeats else ''}{one.amount}" for one in fact.crossed],
            fact.amount.amount_minor,
            fact.lifetime_usage,
        )
        for fact in await facts(world)
    ]


async def test_however_many_are_crossed_at_once_they_are_announced_once(world: World) -> None:
    await sell(world, "10", "20", step="5")
    await call(world, 9)
    assert await look(world) == 0
    await call(world, 22)
    assert await look(world) == 1
    assert await told(world) == [(["10", "20", "+5"], 31_00, "31")]
    assert await look(world) == 0
    await call(world, 3)
    await look(world)
    await call(world, 1)
    assert await look(world) == 1
    assert (await told(world))[1:] == [(["+5"], 35_00, "35")]


async def test_two_that_look_at_once_announce_it_once(world: World) -> None:
    await sell(world, "10")
    await call(world, 12)
    noted = await crossing.find_changed(world.worker)
    looks = [crossing.look(world.worker, world, noted, now=NOON) for _ in range(2)]
    found = await asyncio.gather(*looks)
    assert sum(count for _, count in found) == 1
    await look(world)
    assert await told(world) == [(["10"], 12_00, "12")]


async def test_what_the_period_cost_then_is_kept(world: World) -> None:
    await sell(world, "10")
    await call(world, 12)
    await look(world)
    [fact] = await facts(world)
    await call(world, 100)
    answer = await get_crossing(world.app, TENANT, UUID(fact.crossing_id))
    kept = answer.crossing
    [fee] = kept.rated.fees
    assert (fee.charge_code, fee.units, fee.amount.amount_minor) == ("calls", "12", 12_00)
    assert [(row.label, row.amount) for row in fee.breakdown] == [("units", "12")]
    assert (kept.sequence, kept.lifetime_usage, kept.rated.amount.amount_minor) == (1, "12", 12_00)
    assert kept.rated.period.period_id == fact.period_id
    with pytest.raises(NotFound):
        await get_crossing(world.app, TENANT, UUID(int=1))


async def test_usage_counts_over_all_periods_and_from_before_them(world: World) -> None:
    thresholds = UsageThresholds((Decimal(30),))
    await world.create_plan("pro", [a_charge("calls", "1")], usage_thresholds=thresholds)
    await world.subscribe("acme", plan="pro", historical="15")
    await call(world, 10)
    assert await look(world) == 0
    await world.announce(FEBRUARY)
    await world.close(await world.period_id("acme"), FEBRUARY)
    async with begin_worker(world.worker) as conn:
        await extend_due(conn, FEBRUARY)
    await call(world, 4, LATER)
    assert await look(world, LATER) == 0
    await call(world, 1, LATER)
    assert await look(world, LATER) == 1
    assert await told(world) == [(["30"], 5_00, "30")]


async def test_usage_of_a_period_that_is_billed_crosses_nothing(world: World) -> None:
    await sell(world, "10")
    async with begin_worker(world.worker) as conn:
        await extend_due(conn, FEBRUARY)
    await world.announce(FEBRUARY)
    await call(world, 11)
    assert await look(world, FEBRUARY) == 0
    await world.close(await world.period_id("acme"), FEBRUARY)
    await call(world, 1)
    assert await look(world, FEBRUARY) == 0
    await call(world, 1, LATER)
    assert await look(world, LATER) == 0, "10 was crossed by what was billed"


async def test_usage_that_falls_back_takes_nothing_back(world: World) -> None:
    await sell(world, "10", "20")
    await call(world, 12)
    await look(world)
    for event in world.log[:6]:
        await world.fold_slice(world.correct(place_of(event), None))
    assert await look(world) == 0
    while await reattribute_next(world.worker, world):
        pass
    await look(world)
    await call(world, 6)
    assert await look(world) == 0, "12 again"
    await call(world, 8)
    assert await look(world) == 1
    assert [crossed for crossed, _, _ in await told(world)] == [["10"], ["20"]]


async def test_thresholds_given_to_a_subscription_are_looked_at_at_once(world: World) -> None:
    await world.subscribe("acme")
    await call(world, 1_500)  # A cent each.
    assert await look(world) == 0
    thresholds = UsageThresholds((Decimal(10), Decimal(100)))
    given = Overrides(usage_thresholds=thresholds)
    after = instant("2024-01-11 12:00")
    await update_overrides(world.app, TENANT, a_request(), "acme", given, now=after)
    assert await look(world, after) == 1
    assert await told(world) == [(["10"], 15_00, "15")]
