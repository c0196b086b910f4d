"""A meter that nobody charges may become another; what it counted is forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from libs import db
from libs.errors import FieldsInvalid
from services.rating.domain.meter import Aggregation, Meter, MeterArchived, MeterInUse
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.plan import IntervalUnit, PlanArchived, PlanVersion
from services.rating.operations import meters, plans
from services.rating.store.meters import load_meter, load_meters
from services.rating.store.plans import insert_version, load_plan
from tests.store.rating.conftest import JANUARY, TENANT, World, a_charge, a_request, an_event
from tests.wait import until

MONTH = IntervalUnit.MONTH


async def stored(world: World, code: str) -> Meter:
    async with db.begin(world.app, TENANT) as conn:
        return await load_meter(conn, TENANT, code)


async def change(world: World, code: str, *, check: bool = False, **changes: object) -> None:
    wanted = replace(await stored(world, code), meter_id=uuid4(), **changes)  # type: ignore[arg-type]
    await meters.update_meter(world.app, TENANT, a_request(), wanted, validate_only=check)


async def counted(world: World, meter_id: UUID) -> list[tuple[object, ...]]:
    query = "SELECT event_count, total, greatest FROM cells WHERE meter_id = :id"
    return await world.fetch(query, id=meter_id)


async def test_a_meter_that_becomes_another_counts_anew_and_from_the_next_fold_on(
    world: World,
) -> None:
    await world.create_meter("volume", Aggregation.SUM, value="v", event_type="calls")
    await world.subscribe("acme")
    await world.fold(an_event("acme", JANUARY, v="5"), an_event("acme", JANUARY, v="7"))
    before = await stored(world, "volume")
    assert await counted(world, before.meter_id) == [(2, 12, None)]
    await change(world, "volume", aggregation=Aggregation.MAX)
    assert (await stored(world, "volume")).meter_id == before.meter_id
    assert await counted(world, before.meter_id) == []
    await world.fold(an_event("acme", JANUARY, v="3"))
    assert await counted(world, before.meter_id) == [(1, None, 3)]
    calls = await stored(world, "calls")
    assert await counted(world, calls.meter_id) == [(3, None, None)]


async def test_a_change_that_is_only_checked_forgets_nothing(world: World) -> None:
    await world.create_meter("volume", Aggregation.SUM, value="v", event_type="calls")
    await world.subscribe("acme")
    await world.fold(an_event("acme", JANUARY, v="5"))
    await change(world, "volume", check=True, aggregation=Aggregation.MAX)
    meter = await stored(world, "volume")
    assert meter.aggregation is Aggregation.SUM
    assert await counted(world, meter.meter_id) == [(1, 5, None)]


async def test_a_meter_that_a_plan_charges_is_only_renamed(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(an_event("acme", JANUARY))
    with pytest.raises(MeterInUse, match=r"meter\.event_type, meter\.recurring may not change"):
        await change(world, "calls", event_type="requests", recurring=True)
    await change(world, "calls", name="API calls")
    meter = await stored(world, "calls")
    assert (meter.name, meter.event_type) == ("API calls", "calls")
    assert await counted(world, meter.meter_id) == [(1, None, None)]


async def test_an_archived_meter_counts_on_and_no_new_version_charges_it(world: World) -> None:
    await world.subscribe("acme")
    await meters.archive_meter(world.app, TENANT, a_request(), "calls", now=JANUARY)
    await world.fold(an_event("acme", JANUARY))
    meter = await stored(world, "calls")
    assert await counted(world, meter.meter_id) == [(1, None, None)]
    with pytest.raises(MeterArchived, match=r"version\.charges\[0\]\.meter_code"):
        await world.create_plan("again", [a_charge("calls", "1")])


async def test_an_archived_plan_keeps_its_subscriptions_and_takes_no_others(world: World) -> None:
    await world.subscribe("acme")
    await plans.archive_plan(world.app, TENANT, a_request(), "calls", now=JANUARY)
    with pytest.raises(PlanArchived):
        await world.subscribe("other")
    await world.fold(an_event("acme", JANUARY))
    meter = await stored(world, "calls")
    assert await counted(world, meter.meter_id) == [(1, None, None)]


async def test_a_meter_is_not_changed_under_a_plan_that_begins_to_charge_it(world: World) -> None:
    """Either the plan comes first, and the change is refused, or it is checked by the change."""
    for place in range(8):
        code, plan = f"m{place}", f"p{place}"
        await world.create_meter(code, Aggregation.SUM, value="v")
        charge = replace(a_charge(code, "1"), price=PercentagePrice(Decimal(1)))
        changed, created = await asyncio.gather(
            change(world, code, aggregation=Aggregation.LATEST),  # A percentage takes none.
            world.create_plan(plan, [charge]),
            return_exceptions=True,
        )
        if changed is None:
            assert isinstance(created, FieldsInvalid)
        else:
            assert isinstance(changed, MeterInUse) and created is None


async def test_a_change_waits_for_a_plan_version_that_is_being_written(world: World) -> None:
    await world.create_meter("sizes", Aggregation.SUM, value="v")
    async with db.begin(world.app, TENANT) as conn:
        held = await load_meters(conn, TENANT, ["sizes"], hold=True)
        changing = asyncio.create_task(change(world, "sizes", aggregation=Aggregation.MAX))
        await until(lambda: waits(world), describe=lambda: "nobody waits for the meter")
        version = PlanVersion(uuid4(), 2, MONTH, None, None, (a_charge("sizes", "1"),), JANUARY)
        plan, _ = await load_plan(conn, TENANT, "calls", 0)
        await insert_version(conn, TENANT, plan.code, version)
        assert held["sizes"].aggregation is Aggregation.SUM
    with pytest.raises(MeterInUse):
        await changing


async def waits(world: World) -> bool:
    return bool(await world.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"))
