"""Events that name a subscription before it starts, or between two lives of it, are carried."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

import pytest

from libs.db import Snapshots
from services.rating.domain.event import UsageEvent
from services.rating.domain.meter import Aggregation
from services.rating.domain.plan import Charge
from services.rating.domain.price import StandardPrice
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.subscriptions import terminate_subscription
from services.rating.operations.usage import get_usage
from services.rating.operations.verifying_cells import verify_cells
from services.rating.operations.verifying_fees import verify_fees
from tests.store.rating.conftest import TENANT, World, a_charge, a_request, an_event, instant
from tests.store.rating.test_recurring import move_calendar
from tests.store.rating.test_verifying import Log

JAN_1, JAN_10, JAN_20, FEB_1, FEB_15, MAR_1, APR_1 = (
    instant(f"2024-{day}")
    for day in ("01-01", "01-10", "01-20", "02-01", "02-15", "03-01", "04-01")
)
NOON = instant("2024-02-15 12:00")


@pytest.fixture
async def log(world: World) -> AsyncIterator[Log]:
    """A log whose cells and fees are verified after each test."""
    await world.create_meter("seats", Aggregation.SUM, value="v", recurring=True)
    await world.create_meter("users", Aggregation.UNIQUE_COUNT, value="v", recurring=True)
    await world.create_meter("plain", Aggregation.SUM, value="v")
    weighed = Charge("days", "seats", "", StandardPrice(Decimal(1)), (), prorated=True)
    charges = [a_charge(code, "1") for code in ("seats", "users", "plain")]
    await world.create_plan("all", [*charges, weighed])
    sealed = Log(world)
    yield sealed
    billed = "SELECT 1 FROM billing_periods JOIN terms USING (term_id) WHERE early"
    assert await world.fetch(billed) == []
    snapshots = Snapshots(world.app, world.worker, TENANT)
    assert [one async for one in verify_cells(snapshots, sealed, Counter())] == []
    assert [one async for one in verify_fees(snapshots, world, Counter())] == []


def changes(at: datetime, value: str, subscription: str = "acme") -> list[UsageEvent]:
    return [
        an_event("acme", at, type_=code, subscription=subscription, v=value)
        for code in ("seats", "users", "plain")
    ]


async def subscribe(
    world: World, start: datetime, end: datetime | None = None, *, now: datetime
) -> None:
    await world.subscribe("acme", plan="all", start=start, end=end, now=now)
    while await reattribute_next(world.worker, world):
        pass
    await move_calendar(world, now)


async def units(world: World, at: datetime) -> dict[str, str]:
    usage = await get_usage(world.reader, "acme", at)
    return {fee.charge_code: fee.units for fee in usage.fees}


async def nobody(world: World) -> list[tuple[object, ...]]:
    return await world.fetch("SELECT event_type, event_count FROM unattributed ORDER BY event_type")


async def test_events_before_the_start_are_carried_whichever_came_first(
    world: World, log: Log
) -> None:
    await log.fold(*changes(JAN_10, "29"))
    assert len(await nobody(world)) == 3
    await log.fold(*changes(JAN_20, "1", subscription=""))  # They name nobody.
    await subscribe(world, NOON, now=FEB_15)
    await log.fold(*changes(FEB_15, "58"))  # On the first day, but before noon.
    await log.fold(*changes(NOON, "5"))
    # The 87 from before count for 15 days of 29, and so do the 5.
    assert await units(world, NOON) == {
        "seats": "92",
        "users": "3",
        "plain": "5",
        "days": "47.58621",
    }
    # A meter that does not recur takes nothing from before, nor do events that name nobody.
    left = ["plain", "plain", "plain", "seats", "users"]
    assert await nobody(world) == [(event_type, 1) for event_type in left]
    await move_calendar(world, MAR_1)
    assert await units(world, MAR_1) == {"seats": "92", "users": "3", "days": "92"}


async def test_events_between_two_lives_are_carried_by_the_second(world: World, log: Log) -> None:
    await subscribe(world, JAN_1, JAN_20, now=JAN_1)
    await log.fold(*changes(JAN_10, "1"), *changes(FEB_1, "2"))
    await move_calendar(world, FEB_15)
    assert (await units(world, JAN_1))["seats"] == "1"
    await subscribe(world, MAR_1, now=MAR_1)
    await log.fold(*changes(JAN_20, "4"))  # The instant at which the first life has ended.
    assert await units(world, MAR_1) == {"seats": "7", "users": "3", "days": "7"}
    period_id = await world.period_id("acme")
    await world.announce(APR_1)
    first = await world.close(period_id, APR_1)
    assert {fee.charge_code: fee.units for fee in first.fees}["seats"] == "1"


async def test_a_life_that_is_backdated_takes_what_a_later_one_has_carried(
    world: World, log: Log
) -> None:
    await log.fold(*changes(JAN_1, "1"), *changes(JAN_20, "2"))
    await subscribe(world, MAR_1, now=MAR_1)
    assert (await units(world, MAR_1))["seats"] == "3"
    await subscribe(world, JAN_10, FEB_1, now=MAR_1)
    first = await world.period_id("acme")
    await world.announce(APR_1)
    closed = await world.close(first, APR_1)
    found = {fee.charge_code: fee.units for fee in closed.fees}
    # 1 for the 22 days billed, and 2 from the 20th on for 12, of 31.
    assert found == {"seats": "3", "users": "2", "plain": "2", "days": "1.48388"}
    assert (await units(world, MAR_1))["seats"] == "3"


async def test_late_events_before_the_start_reach_the_closed_periods(
    world: World, log: Log
) -> None:
    await subscribe(world, FEB_1, now=FEB_1)
    await log.fold(*changes(FEB_15, "1"))
    await move_calendar(world, MAR_1)
    await world.announce(APR_1)
    period_id = await world.period_id("acme")
    await world.close(period_id, APR_1)
    await log.fold(*changes(JAN_10, "4"))
    versions = "SELECT late_version FROM billing_periods ORDER BY usage_start"
    assert (await world.fetch(versions))[0] == (1,)
    adjusted = {fee.charge_code: fee.units for fee in (await world.adjust(period_id, 1)).fees}
    assert adjusted == {"seats": "4", "users": "1", "days": "4"}


async def test_what_was_carried_stays_when_the_subscription_ends(world: World, log: Log) -> None:
    await log.fold(*changes(JAN_10, "4"))
    await subscribe(world, FEB_1, now=FEB_1)
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=MAR_1, now=FEB_15
    )
    assert await units(world, FEB_1) == {"seats": "4", "users": "1", "days": "4"}
