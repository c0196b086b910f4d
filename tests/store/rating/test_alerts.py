"""Alerts in a real database: each crossing is told once, whoever looks and whenever."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from libs.db import begin_worker
from services.rating.domain.alert import (
    Alert,
    AlertCodeTaken,
    AlertDirection,
    AlertMeasure,
    AlertNotFound,
    Threshold,
    TooManyAlerts,
)
from services.rating.domain.entitlement import MeterNotCounted
from services.rating.domain.meter import Aggregation
from services.rating.domain.subscription import SubscriptionTerminated
from services.rating.operations import alerting
from services.rating.operations import alerts as operations
from services.rating.operations.idling import check_idle
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.subscriptions import terminate_subscription
from services.rating.operations.transitions import extend_due
from tally.rating.v1 import events_pb2
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
    place_of,
)
from tests.store.rating.test_rebuilding import execute

NOON = instant("2024-01-10 12:00")
FEBRUARY = instant("2024-02-10 12:00")


async def create(
    world: World,
    *values: str,
    code: str = "a",
    step: str | None = None,
    measure: AlertMeasure = AlertMeasure.UNITS,
    meter: str = "calls",
    direction: AlertDirection = AlertDirection.RISING,
    subscription: str = "acme",
) -> UUID:
    alert = Alert(
        alert_id=uuid4(),
        subscription_id=subscription,
        code=code,
        name=code,
        measure=measure,
        meter_code="" if measure is AlertMeasure.CURRENT_AMOUNT else meter,
        direction=direction,
        thresholds=tuple(Threshold(f"t{value}", Decimal(value)) for value in values),
        repeating_step=None if step is None else Decimal(step),
        created_at=NOON,
    )
    await operations.create_alert(world.app, TENANT, a_request(), alert, now=NOON)
    return alert.alert_id


async def look(world: World, now: datetime = NOON) -> int:
    """Look until nothing is left to be; return how many alerts told something."""
    told = 0
    while noted := await alerting.find_to_look(world.worker, now):
        done, more = await alerting.look(world.worker, world, noted, now=now)
        told += more
        if not done:
            break
    return told


async def facts(world: World) -> list[events_pb2.AlertTriggered]:
    rows = await world.fetch(
        "SELECT payload FROM outbox WHERE subject LIKE '%AlertTriggered' ORDER BY id"
    )
    return [events_pb2.AlertTriggered.FromString(payload) for (payload,) in rows]


async def told(world: World) -> list[tuple[list[str], str]]:
    """Return what was crossed and the value, fact by fact."""
    return [([one.value for one in fact.crossed], fact.value) for fact in await facts(world)]


async def call(world: World, count: int, at: datetime = NOON) -> None:
    await world.fold(*[an_event("acme", at)] * count)


async def test_a_threshold_is_told_once_in_a_period_and_again_in_the_next(world: World) -> None:
    await world.subscribe("acme")
    alert_id = await create(world, "8", "10")
    for count in (7, 1, 1):
        await call(world, count)
        await look(world)
    assert await told(world) == [(["8"], "8")]
    async with begin_worker(world.worker) as conn:
        await extend_due(conn, FEBRUARY)
    await call(world, 12, FEBRUARY)
    assert await look(world, FEBRUARY) == 1
    assert await told(world) == [(["8"], "8"), (["8", "10"], "12")]
    [first, second] = await facts(world)
    assert first.period_id != second.period_id
    assert (first.alert_code, first.customer_id, first.currency_code) == ("a", "acme", "USD")
    answer = await operations.get_alert(world.app, TENANT, alert_id)
    assert [one.crossed.value for one in answer.firings] == ["10", "8", "8"]


async def test_what_is_crossed_already_is_told_when_the_alert_is_made(world: World) -> None:
    await world.subscribe("acme")
    await call(world, 9)
    await create(world, "8")
    assert await look(world) == 1
    assert await look(world) == 0


async def test_what_has_fallen_back_is_told_again(world: World) -> None:
    await world.subscribe("acme")
    alert_id = await create(world, "2")
    await create(world, "2", code="b", direction=AlertDirection.FALLING)
    await call(world, 2)
    assert await look(world) == 1
    await world.fold_slice(world.correct(place_of(world.log[0]), None))
    assert await look(world) == 0, "its usage is not whole: it has not fallen to nothing"
    assert await reattribute_next(world.worker, world)
    assert await look(world) == 1, "the falling one"
    await call(world, 1)
    assert await look(world) == 1
    assert [fact.alert_code for fact in await facts(world)] == ["a", "b", "a"]
    answer = await operations.get_alert(world.app, TENANT, alert_id)
    assert sorted(one.earlier_count for one in answer.firings) == [0, 1]


async def test_steps_go_on_above_the_last_threshold(world: World) -> None:
    await world.subscribe("acme")
    await create(world, "2", step="3")
    for count, expected in ((2, ["2"]), (2, None), (1, ["5"]), (7, ["11"])):
        await call(world, count)
        assert await look(world) == (expected is not None)
    assert [values for values, _ in await told(world)] == [["2"], ["5"], ["11"]]


async def test_amounts_are_those_that_usage_costs_so_far(world: World) -> None:
    await world.create_meter("tokens", Aggregation.SUM, value="n")
    await world.create_plan("both", [a_charge("calls", "0.10"), a_charge("tokens", "0.01")])
    await world.subscribe("acme", plan="both")
    await create(world, "0.50", code="calls", measure=AlertMeasure.AMOUNT)
    await create(world, "1.50", code="all", measure=AlertMeasure.CURRENT_AMOUNT)
    await call(world, 5)
    assert await look(world) == 1
    await world.fold(an_event("acme", NOON, type_="tokens", n=Decimal(100)))
    assert await look(world) == 1
    assert [(one.alert_code, one.value) for one in await facts(world)] == [
        ("calls", "0.5"),
        ("all", "1.5"),
    ]


async def test_two_processes_that_look_at_once_tell_it_once(world: World) -> None:
    await world.subscribe("acme")
    await create(world, "5")
    await call(world, 5)
    noted = await alerting.find_to_look(world.worker, NOON)
    looks = [alerting.look(world.worker, world, noted, now=NOON) for _ in range(2)]
    found = await asyncio.gather(*looks)
    assert sum(more for _, more in found) == 1
    assert await look(world) == 0
    assert await told(world) == [(["5"], "5")]


async def test_a_look_that_was_outrun_stores_nothing(world: World) -> None:
    await world.subscribe("acme")
    await create(world, "5")
    await call(world, 4)
    noted = await alerting.find_to_look(world.worker, NOON)
    [old] = await alerting._look(world.worker, world, TENANT, noted, NOON)
    await call(world, 1)
    assert await look(world) == 1
    with pytest.raises(alerting.Outrun):
        await alerting._store(world.worker, TENANT, old, NOON)
    await call(world, 1)
    assert await look(world) == 0


async def test_a_period_that_starts_with_carried_units_is_looked_at(world: World) -> None:
    await world.create_meter("seats", Aggregation.SUM, value="n", recurring=True)
    await world.create_plan("team", [a_charge("seats", "1")])
    await world.subscribe("acme", plan="team")
    await create(world, "3", meter="seats")
    await world.fold(an_event("acme", NOON, type_="seats", n=Decimal(4)))
    assert await look(world) == 1
    start = instant("2024-02-01 00:00")
    idle = await check_idle(world.worker, world, NOON)
    assert idle.next_due_at is not None and idle.next_due_at <= start
    assert "1 alerts are to look at a period that has started" in (
        (await check_idle(world.worker, world, start)).busy
    )
    assert await look(world, start) == 1
    assert [one.period.start.ToDatetime().month for one in await facts(world)] == [1, 2]


async def test_late_usage_counts_in_its_period_until_that_is_due(world: World) -> None:
    await world.subscribe("acme")
    await create(world, "2")
    late = instant("2024-01-31 23:59")
    await look(world)
    await call(world, 2, late)
    assert await look(world, instant("2024-02-01 00:05")) == 1
    await call(world, 5, late)
    await create(world, "7", code="b")
    assert await look(world, instant("2024-02-01 00:10")) == 0, "it is due"


async def test_a_deleted_alert_tells_nothing_and_nothing_is_noted_for_it(world: World) -> None:
    await world.subscribe("acme")
    alert_id = await create(world, "1")
    await call(world, 1)
    noted = await alerting.find_to_look(world.worker, NOON)
    [found] = await alerting._look(world.worker, world, TENANT, noted, NOON)
    await operations.delete_alert(world.app, TENANT, a_request(), alert_id)
    assert await alerting._store(world.worker, TENANT, found, NOON) == 0
    await call(world, 1)
    assert not await alerting.find_to_look(world.worker, NOON)
    with pytest.raises(AlertNotFound):
        await operations.get_alert(world.app, TENANT, alert_id)


async def test_an_alert_must_be_on_usage_that_there_is(world: World) -> None:
    await world.subscribe("acme")
    await world.create_meter("other", Aggregation.COUNT)
    with pytest.raises(MeterNotCounted):
        await create(world, "1", meter="other")
    await create(world, "1")
    with pytest.raises(AlertCodeTaken):
        await create(world, "2")
    await execute(
        world,
        "INSERT INTO alerts SELECT tenant, gen_random_uuid(), subscription_id, 'c' || n, name,"
        " measure, meter_code, direction, thresholds, repeating_step, created_at"
        " FROM alerts, generate_series(1, 49) AS n",
    )
    with pytest.raises(TooManyAlerts):
        await create(world, "1", code="one too many")
    await world.subscribe("blue", start=JANUARY)
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="blue", end=None, now=JANUARY
    )
    with pytest.raises(SubscriptionTerminated):
        await create(world, "1", subscription="blue")
