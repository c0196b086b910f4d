"""Recurring meters: what earlier periods and lives of a subscription id leave carries over."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from libs import db
from libs.db import Snapshots
from services.rating.domain.event import UsageEvent
from services.rating.domain.meter import Aggregation, ValueInput
from services.rating.operations import transitions
from services.rating.operations.rating import get_usage
from services.rating.operations.verifying_fees import verify_fees
from tests.store.rating.conftest import JANUARY, TENANT, World, a_charge, an_event, instant

JAN_17, FEB_1, MAR_1 = (instant(f"2024-{day} 00:00") for day in ("01-17", "02-01", "03-01"))
METERS: dict[str, tuple[Aggregation, dict[str, Any]]] = {
    "seats": (Aggregation.SUM, {}),
    "users": (Aggregation.UNIQUE_COUNT, {}),
    "stored": (Aggregation.WEIGHTED_SUM, {"value_input": ValueInput.DELTA}),
    "held": (Aggregation.WEIGHTED_SUM, {"value_input": ValueInput.LEVEL}),
}


@pytest.fixture(autouse=True)
async def sold(world: World) -> None:
    """The plan "all" with a recurring meter of each kind."""
    for code, (aggregation, options) in METERS.items():
        await world.create_meter(
            code, aggregation, value="v", dimensions=["region"], recurring=True, **options
        )
    await world.create_plan("all", [a_charge(code, "1") for code in METERS])


def a_change(code: str, at: datetime, value: str, operation: str = "add") -> UsageEvent:
    properties = {"v": value, "region": "eu", "operation_type": operation}
    return replace(an_event("acme", at, type_=code), properties=properties)


async def use(world: World, at: datetime, value: str) -> None:
    """Fold an event for every meter."""
    await world.fold(*(a_change(code, at, value) for code in METERS))


def each(seats: str, users: str, stored: str, held: str) -> dict[str, str]:
    return {"seats": seats, "users": users, "stored": stored, "held": held}


async def units(world: World, at: datetime) -> dict[str, str]:
    usage = await get_usage(world.app, TENANT, "acme", at)
    return {fee.meter_code: fee.units for fee in usage.fees}


async def move_calendar(world: World, now: datetime) -> None:
    """Write periods ahead, and end what ends, as of `now`."""
    for change in (transitions.extend_due, transitions.end_due):
        async with db.begin_worker(world.worker) as conn:
            await change(conn, now)


async def test_a_level_carries_over_to_the_next_periods(world: World) -> None:
    await world.subscribe("acme", plan="all")
    await use(world, JAN_17, "31")  # With 15 of 31 days left.
    await move_calendar(world, FEB_1)
    assert await units(world, JANUARY) == {
        "seats": "31",
        "users": "1",
        "stored": "15",
        "held": "15",
    }
    assert await units(world, FEB_1) == each("31", "1", "31", "31")
    await use(world, instant("2024-02-15 12:00"), "60")  # Half of February's 29 days are left.
    # 31 and 60 / 2 more; half the month at 31, the other half at 60.
    expected = each("91", "2", "61", "45.5")
    assert await units(world, FEB_1) == expected


async def test_what_was_removed_or_fell_to_nothing_is_not_carried(world: World) -> None:
    await world.subscribe("acme", plan="all")
    await use(world, JANUARY, "5")
    removed = a_change("users", JAN_17, "5", "remove")
    await world.fold(removed, a_change("stored", JAN_17, "-5"), a_change("held", JAN_17, "0"))
    await move_calendar(world, FEB_1)
    assert await units(world, FEB_1) == {"seats": "5"}


async def test_another_life_of_the_same_id_goes_on_with_the_level(world: World) -> None:
    await world.subscribe("acme", plan="all", end=FEB_1)
    await use(world, JAN_17, "31")
    await move_calendar(world, MAR_1)
    await world.subscribe("acme", plan="all", start=MAR_1, now=MAR_1)
    assert await units(world, MAR_1) == each("31", "1", "31", "31")


async def test_late_usage_reaches_the_closed_periods_that_carry_it(world: World) -> None:
    await world.subscribe("acme", plan="all")
    await use(world, JANUARY, "2")
    await move_calendar(world, MAR_1)
    for month in ("02", "03"):
        await world.announce(instant(f"2024-{month}-01 00:10"))
    closed = [await world.period_id("acme", n=n) for n in range(2)]
    for period_id in closed:
        await world.close(period_id, MAR_1)
    await world.fold(a_change("seats", JAN_17, "40"))
    assert await world.fetch(
        "SELECT status, late_version FROM billing_periods WHERE kind = 'usage'"
        " ORDER BY usage_start LIMIT 3"
    ) == [("closed", 1), ("closed", 1), ("open", 0)]
    for period_id in closed:
        [fee] = (await world.adjust(period_id, 1)).fees
        assert (fee.meter_code, fee.units) == ("seats", "40")
    found = [
        one async for one in verify_fees(Snapshots(world.app, world.worker, TENANT), Counter())
    ]
    assert found == []


async def test_usage_of_meters_that_do_not_recur_touches_its_own_period_only(world: World) -> None:
    await world.subscribe("bolt")
    await move_calendar(world, MAR_1)
    for month in ("02", "03"):
        await world.announce(instant(f"2024-{month}-01 00:10"))
    for n in range(2):
        await world.close(await world.period_id("bolt", n=n), MAR_1)
    await world.fold(an_event("bolt", JAN_17))
    rows = await world.fetch(
        "SELECT late_version FROM billing_periods WHERE status = 'closed' ORDER BY usage_start"
    )
    assert rows == [(1,), (0,)]
