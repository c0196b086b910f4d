"""Pauses, moves, phases and migrations: what they do to cells, periods and what is billed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from libs.errors import FieldInvalid
from services.rating.domain.meter import Aggregation
from services.rating.domain.migrating import MigrationMode
from services.rating.domain.phases import Phase
from services.rating.domain.plan import IntervalUnit, PlanVersion, Timing
from services.rating.domain.subscription import SubscriptionPaused
from services.rating.operations.migrating import Migration, migrate_subscriptions
from services.rating.operations.plan_changes import Named
from services.rating.operations.plans import create_version
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.settings_changes import (
    Settings,
    pause_subscription,
    resume_subscription,
    update_subscription,
)
from services.rating.operations.subscriptions import Wish, create_subscription, get_subscription
from tally.rating.v1 import subscription_service_pb2 as pb
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
)
from tests.store.rating.test_plan_changes import billed, change, end, run, sell

NAMED = Named("acme")


async def pause(world: World, at: str, *, until: str = "") -> pb.Subscription:
    resume_at = instant(until) if until else None
    answer = await pause_subscription(
        world.app, TENANT, a_request(), NAMED, resume_at=resume_at, now=instant(at)
    )
    return answer.subscription


async def resume(world: World, at: str) -> pb.Subscription:
    answer = await resume_subscription(world.app, TENANT, a_request(), NAMED, now=instant(at))
    return answer.subscription


async def move(world: World, zone: str, at: str) -> pb.Subscription:
    answer = await update_subscription(
        world.app, TENANT, a_request(), NAMED, Settings(time_zone=zone), now=instant(at)
    )
    return answer.subscription


async def cells(world: World) -> list[tuple[str, int]]:
    found = await world.fetch(
        "SELECT day::text, sum(event_count)::int FROM cells GROUP BY 1 ORDER BY 1"
    )
    return [(day, count) for day, count in found]


async def test_a_pause_in_arrears_leaves_its_days_out(world: World) -> None:
    await world.create_plan("one", [a_charge("calls", "0.01")], base="31")
    await world.subscribe("acme", plan="one", start=instant("2024-03-01"), delay_s=0)
    paused = await pause(world, "2024-03-10 14:00")
    assert pb.SubscriptionStatus.Name(paused.status) == "SUBSCRIPTION_STATUS_PAUSED"
    await world.fold(
        *(an_event("acme", instant(f"2024-03-{at}")) for at in ("10 13:59", "10 14:00", "12 00:00"))
    )
    assert await cells(world) == [("2024-03-10", 1)]
    assert await world.fetch("SELECT sum(event_count)::int FROM unattributed") == [(2,)]
    await resume(world, "2024-03-15 09:00")
    await world.fold(an_event("acme", instant("2024-03-15 09:00")))
    await run(world, "2024-04-01")
    # The 11th to the 14th are not billed.
    assert await billed(world) == [("one", "", 2700), ("one", "calls", 2)]


async def test_a_pause_in_advance_is_given_back_once_it_is_over(world: World) -> None:
    await sell(world, one="31")
    await world.subscribe("acme", plan="one", start=instant("2024-03-01"), delay_s=0)
    await run(world, "2024-03-01")
    await pause(world, "2024-03-10 14:00")
    await run(world, "2024-04-02")
    assert await billed(world) == [("one", "", 3100)]  # April waits.
    resumed = await resume(world, "2024-04-21 00:00")
    assert pb.SubscriptionStatus.Name(resumed.status) == "SUBSCRIPTION_STATUS_ACTIVE"
    await run(world, "2024-04-21")
    # 21 days of March, and 10 of April's 30.
    assert sorted(await billed(world)) == [("one", "", -2100), ("one", "", 1033), ("one", "", 3100)]


async def test_a_pause_ends_by_itself_at_its_instant(world: World) -> None:
    await world.create_plan("one", [], base="31")
    await world.subscribe("acme", plan="one", start=instant("2024-03-01"), delay_s=0)
    await pause(world, "2024-03-10 00:00", until="2024-03-20 00:00")
    await run(world, "2024-03-19 23:59")
    found = await get_subscription(world.app, TENANT, "acme")
    assert found.subscription.status == pb.SUBSCRIPTION_STATUS_PAUSED
    await run(world, "2024-03-20 00:00")
    found = await get_subscription(world.app, TENANT, "acme")
    assert found.subscription.status == pb.SUBSCRIPTION_STATUS_ACTIVE
    await run(world, "2024-04-01")
    assert await billed(world) == [("one", "", 2100)]  # The 10th to the 19th are left out.


async def test_levels_go_on_through_a_pause_whose_days_are_not_weighed(world: World) -> None:
    await world.create_meter("seats", Aggregation.SUM, value="value", recurring=True)
    await world.create_plan("one", [replace(a_charge("seats", "1"), prorated=True)])
    await world.subscribe("acme", plan="one", start=instant("2024-03-01"), delay_s=0)
    await world.fold(an_event("acme", instant("2024-03-01 12:00"), type_="seats", value="31"))
    await pause(world, "2024-03-10 14:00", until="2024-03-15 09:00")
    await run(world, "2024-03-15 09:00")
    await run(world, "2024-05-01")
    # 31 units for 27 of 31 days, then for all of April.
    assert await billed(world) == [("one", "seats", 2700), ("one", "seats", 3100)]


async def test_what_is_paused_changes_no_plan_and_ends_at_its_pause(world: World) -> None:
    await world.create_plan("one", [], base="31")
    await world.create_plan("two", [], base="62")
    await world.subscribe("acme", plan="one", start=instant("2024-03-01"), delay_s=0)
    await pause(world, "2024-03-10 14:00")
    with pytest.raises(SubscriptionPaused):
        await change(world, "two", "2024-03-12")
    await end(world, "2024-03-20 12:00")
    await run(world, "2024-04-01")
    assert await billed(world) == [("one", "", 1000)]


async def test_a_plan_that_is_to_change_is_not_paused(world: World) -> None:
    await sell(world, one="10", two="15")
    await world.subscribe("acme", plan="two", delay_s=0)
    await change(world, "one", "2024-01-05")
    with pytest.raises(FieldInvalid, match="cancel that first"):
        await pause(world, "2024-01-06")


async def test_a_move_to_the_west_repeats_no_day(world: World) -> None:
    await world.create_plan("one", [a_charge("calls", "0.01")], base="31")
    await world.subscribe(
        "acme", plan="one", start=instant("2024-02-29 15:00"), zone="Asia/Tokyo", delay_s=0
    )
    await world.fold(an_event("acme", instant("2024-03-31 14:59")))
    # 1 April 05:00 in Tokyo, where March has ended; 31 March 13:00 in Los Angeles.
    moved = await move(world, "America/Los_Angeles", "2024-03-31 20:00")
    assert moved.time_zone == "America/Los_Angeles"
    await world.fold(
        *(an_event("acme", instant(f"2024-{at}")) for at in ("03-31 19:00", "03-31 20:00")),
        *(an_event("acme", instant(f"2024-{at}")) for at in ("04-01 07:00", "04-02 07:00")),
    )
    assert await cells(world) == [("2024-03-31", 1), ("2024-04-01", 3), ("2024-04-02", 1)]
    await run(world, "2024-04-30 15:00")
    assert await billed(world) == [("one", "", 3100), ("one", "calls", 1)]
    await run(world, "2024-05-01 07:00")
    assert (await billed(world))[2:] == [("one", "", 3100), ("one", "calls", 4)]
    assert not await reattribute_next(world.worker, world)


async def test_a_move_into_billed_time_counts_past_events_again(world: World) -> None:
    await world.create_plan("one", [a_charge("calls", "0.01")])
    await world.subscribe("acme", plan="one", start=JANUARY, delay_s=0)
    at = ("10 01:00", "10 05:00", "10 13:00")
    await world.fold(*(an_event("acme", instant(f"2024-01-{one}")) for one in at))
    await move(world, "America/New_York", "2024-01-10 03:00")
    assert await reattribute_next(world.worker, world)
    assert await cells(world) == [("2024-01-10", 3)]


async def test_default_for_usage_counts_from_now_on(world: World) -> None:
    await world.subscribe("acme", customer="both")
    await world.subscribe("other", customer="both", start=instant("2023-12-31"), now=JANUARY)
    await world.fold(*(an_event("both", instant(f"2024-01-0{day}")) for day in (2, 8)))
    await update_subscription(
        world.app,
        TENANT,
        a_request(),
        NAMED,
        Settings(default_for_usage=True, metadata=(("team", "one"),)),
        now=instant("2024-01-05"),
    )
    assert await reattribute_next(world.worker, world)
    found = await world.fetch(
        "SELECT DISTINCT s.subscription_id, c.day::text FROM cells c"
        " JOIN terms t USING (tenant, term_id)"
        " JOIN subscriptions s USING (tenant, subscription_uid)"
        " ORDER BY 2"
    )
    assert found == [("other", "2024-01-02"), ("acme", "2024-01-08")]
    assert (await get_subscription(world.app, TENANT, "acme")).subscription.metadata == {
        "team": "one"
    }


def a_wish(*phases: Phase, start: datetime = JANUARY, end: datetime | None = None) -> Wish:
    return Wish(
        subscription_id="acme",
        customer_id="acme",
        plan_code="one",
        plan_version=0,
        start=start,
        end=end,
        time_zone="UTC",
        default_for_usage=False,
        collection_delay_s=0,
        phases=phases,
    )


async def test_phases_follow_each_other_by_themselves(world: World) -> None:
    await sell(world, one="31", two="62", three="93")
    wish = a_wish(Phase("two", 0, instant("2024-01-11")), Phase("three", 0, instant("2024-02-01")))
    await create_subscription(world.app, TENANT, a_request(), wish, now=JANUARY)
    for at in ("2024-01-01", "2024-01-11", "2024-02-01"):
        await run(world, at)
    # 10 and 21 days of January, known ahead.
    assert await billed(world) == [("one", "", 1000), ("two", "", 4200), ("three", "", 9300)]
    found = await get_subscription(world.app, TENANT, "acme")
    assert found.subscription.plan_code == "three"
    assert [term.plan_code for term in found.terms] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("starts", "fields"),
    [
        (["2024-01-01"], ["phases[0].start"]),
        (["2024-02-01", "2024-02-01"], ["phases[1].start"]),
        (["2024-03-01", "2024-02-01", "2025-01-01"], ["phases[1].start", "phases[2].start"]),
    ],
)
async def test_phases_that_do_not_follow_each_other_are_refused(
    world: World, starts: list[str], fields: list[str]
) -> None:
    await sell(world, one="31")
    phases = [Phase("one", 0, instant(start)) for start in starts]
    wish = a_wish(*phases, end=instant("2025-01-01"))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - one or several faults.
        await create_subscription(world.app, TENANT, a_request(), wish, now=JANUARY)
    refused: Any = caught.value
    assert [fault.field for fault in refused.faults] == fields


async def add_version(world: World, plan: str, price: str, base: str, **fields: Any) -> None:
    version = PlanVersion(
        plan_version_id=uuid4(),
        version=2,
        interval_unit=fields.get("unit", IntervalUnit.MONTH),
        base_amount=Decimal(base),
        base_timing=Timing.IN_ADVANCE,
        charges=(a_charge("calls", price),),
        created_at=JANUARY,
    )
    await create_version(
        world.app, TENANT, a_request(), plan_code=plan, version=version, validate_only=False
    )


async def migrate(
    world: World, at: str, mode: MigrationMode, *, later: bool = False, dry: bool = False
) -> list[tuple[str, int, str, int]]:
    wanted = Migration("one", 0, 0, at_period_end=later, mode=mode)
    told = migrate_subscriptions(world.app, TENANT, wanted, now=instant(at), validate_only=dry)
    return [(one.subscription_id, one.from_version, one.problem, one.done) async for one in told]


@pytest.mark.parametrize(
    ("mode", "later", "expected"),
    [
        (MigrationMode.REPRICE, False, [("calls", 30), ("", 6200)]),  # All three of January.
        (
            MigrationMode.CUT,
            False,
            [("", -2100), ("calls", 1), ("", 4200), ("calls", 20), ("", 6200)],
        ),
        (MigrationMode.REPRICE, True, [("calls", 3), ("", 6200)]),
        (MigrationMode.CUT, True, [("calls", 3), ("", 6200)]),
    ],
)
async def test_a_plan_is_repriced_within_a_period(
    world: World, mode: MigrationMode, later: bool, expected: list[tuple[str, int]]
) -> None:
    await sell(world, one="31")
    await world.subscribe("acme", plan="one", delay_s=0)
    await run(world, "2024-01-01")
    await world.fold(an_event("acme", instant("2024-01-05")))
    await add_version(world, "one", "0.10", "62")
    before = await world.fetch("SELECT count(*) FROM terms")
    assert await migrate(world, "2024-01-11", mode, later=later, dry=True) == [("acme", 1, "", 1)]
    assert await world.fetch("SELECT count(*) FROM terms") == before
    assert await migrate(world, "2024-01-11", mode, later=later) == [("acme", 1, "", 1)]
    assert not await reattribute_next(world.worker, world)
    await world.fold(*(an_event("acme", instant(f"2024-01-{day}")) for day in (12, 13)))
    await run(world, "2024-01-11")
    await run(world, "2024-02-01")
    assert sorted((code, amount) for _, code, amount in (await billed(world))[1:]) == sorted(
        expected
    )
    if not later:
        assert await migrate(world, "2024-02-01", mode) == []


async def test_a_version_of_another_interval_is_not_taken_on_without_a_cut(world: World) -> None:
    await sell(world, one="31")
    await world.subscribe("acme", plan="one")
    await add_version(world, "one", "0.01", "7", unit=IntervalUnit.WEEK)
    [(_, _, problem, _)] = await migrate(world, "2024-01-11", MigrationMode.REPRICE)
    assert problem.startswith("version 1 has another interval")
    assert await migrate(world, "2024-01-11", MigrationMode.CUT) == [("acme", 1, "", 1)]
