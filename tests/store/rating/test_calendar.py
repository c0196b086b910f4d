"""The rows of the billing calendar: written ahead, announced together, cut at the end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.db import begin_worker
from libs.errors import FieldInvalid
from services.rating.domain.plan import IntervalUnit, Timing
from services.rating.domain.subscription import SubscriptionIdTaken, SubscriptionTerminated
from services.rating.operations import announcing
from services.rating.operations.subscriptions import terminate_subscription
from services.rating.operations.transitions import apply_due
from services.rating.store.due import count_waiting, find_next_due
from tally.rating.v1 import events_pb2
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


async def periods(world: World, subscription_id: str) -> list[tuple[Any, ...]]:
    return await world.fetch(
        "SELECT kind, fee_first_day::text, fee_end_day::text, due_at, status FROM billing_periods"
        " WHERE subscription_id = :id ORDER BY due_at, kind, fee_first_day",
        id=subscription_id,
    )


async def tick(world: World, now: datetime) -> None:
    await apply_due(world.worker, now)


async def terminate(
    world: World, subscription_id: str, *, now: datetime, end: datetime | None
) -> pb.TerminateSubscriptionResponse:
    return await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id=subscription_id, end=end, now=now
    )


async def test_the_present_and_the_next_period_are_written(world: World) -> None:
    await world.subscribe(
        "acme", start=instant("2024-01-15 10:00"), now=instant("2024-01-15 10:00")
    )
    assert await periods(world, "acme") == [
        ("usage", "2024-01-15", "2024-02-01", instant("2024-02-01 00:10"), "open"),
        ("usage", "2024-02-01", "2024-03-01", instant("2024-03-01 00:10"), "open"),
    ]
    await tick(world, instant("2024-02-01 00:00"))
    assert len(await periods(world, "acme")) == 3


async def test_a_base_fee_in_advance_is_due_with_the_usage_before_it(world: World) -> None:
    await world.create_plan("base", [a_charge("calls", "1")], base="99", timing=Timing.IN_ADVANCE)
    await world.subscribe("acme", plan="base")
    due = [
        (kind, first_day, due_at) for kind, first_day, _, due_at, _ in await periods(world, "acme")
    ]
    february = instant("2024-02-01 00:10")
    assert due == [
        ("base", "2024-01-01", JANUARY),
        ("base", "2024-02-01", february),
        ("usage", "2024-01-01", february),
        ("usage", "2024-02-01", instant("2024-03-01 00:10")),
    ]


async def test_all_periods_of_a_customer_that_are_due_together_are_one_fact(world: World) -> None:
    await world.create_plan("base", [a_charge("calls", "1")], base="99")
    await world.subscribe("one", plan="base", customer="acme")
    await world.subscribe("two", plan="calls", customer="acme")
    await world.subscribe("three", plan="calls", customer="blue")
    assert await world.announce(instant("2024-02-01 00:10")) == 2
    rows = await world.fetch(
        "SELECT payload FROM outbox WHERE subject LIKE '%BillingPeriodDue' ORDER BY id"
    )
    facts = [events_pb2.BillingPeriodDue.FromString(payload) for (payload,) in rows]
    named = [
        (fact.customer_id, [(each.subscription_id, each.kind) for each in fact.periods])
        for fact in facts
    ]
    assert named == [("acme", [("one", 1), ("one", 2), ("two", 2)]), ("blue", [("three", 2)])]
    assert await world.announce(instant("2024-02-01 00:10")) == 0


async def test_nothing_is_announced_before_the_cells_have_all_that_was_acknowledged(
    world: World,
) -> None:
    await world.subscribe("acme")
    due_at = instant("2024-02-01 00:10")
    piece = world.slice(an_event("acme", instant("2024-01-31 23:59")))
    assert await world.announce(due_at) == 0, "a slice of the head is not folded"
    await world.fold_slice(piece)
    groups = await announcing.load_due_groups(world.worker, due_at)
    early = instant("2024-01-31 23:59")
    assert not await announcing.announce(world.worker, [groups[0]], early), "the log may still grow"
    assert await world.announce(due_at) == 1


async def test_a_base_fee_alone_needs_no_watermark(world: World) -> None:
    await world.create_plan("base", [], base="99", timing=Timing.IN_ADVANCE)
    await world.subscribe("acme", plan="base")
    groups = await announcing.load_due_groups(world.worker, JANUARY)
    assert [group.usage_end for group in groups] == [None]
    assert await announcing.announce(world.worker, [groups[0]], None)


async def test_a_termination_cuts_the_present_period_and_drops_the_next(world: World) -> None:
    await world.create_plan("base", [a_charge("calls", "1")], base="31")
    await world.subscribe("acme", plan="base")
    end = instant("2024-01-10 12:00")
    await terminate(world, "acme", now=end, end=None)
    due_at = instant("2024-01-10 12:10")
    assert await periods(world, "acme") == [
        ("base", "2024-01-01", "2024-01-11", due_at, "open"),
        ("usage", "2024-01-01", "2024-01-11", due_at, "open"),
    ]
    await world.announce(due_at)
    rated = await world.close(await world.period_id("acme", kind="base"), due_at)
    assert rated.amount.amount_minor == 1000


async def test_a_later_end_is_reached_at_its_instant(world: World) -> None:
    await world.subscribe("acme")
    end = instant("2024-02-10 12:00")
    answer = await terminate(world, "acme", now=instant("2024-01-10 12:00"), end=end)
    assert answer.subscription.status == 2
    with pytest.raises(SubscriptionTerminated):
        await terminate(world, "acme", now=instant("2024-01-10 12:00"), end=None)
    await tick(world, end)
    rows = await world.fetch("SELECT status, extend_at FROM subscriptions")
    assert rows == [("terminated", None)]
    assert [row[1:3] for row in await periods(world, "acme")] == [
        ("2024-01-01", "2024-02-01"),
        ("2024-02-01", "2024-02-11"),
    ]


async def test_a_subscription_that_never_starts_bills_nothing(world: World) -> None:
    await world.create_plan("base", [], base="31", timing=Timing.IN_ADVANCE)
    await world.subscribe("acme", plan="base", start=instant("2024-03-01"))
    await terminate(world, "acme", now=JANUARY, end=None)
    assert await periods(world, "acme") == []
    await world.subscribe("acme", plan="base")


async def test_a_live_id_is_not_given_twice(world: World) -> None:
    await world.subscribe("acme", start=instant("2024-03-01"))
    with pytest.raises(SubscriptionIdTaken):
        await world.subscribe("acme")


async def test_a_start_lies_ahead_until_its_instant(world: World) -> None:
    start = instant("2024-01-20 10:00")
    await world.subscribe("acme", start=start)
    assert await world.fetch("SELECT status FROM subscriptions") == [("pending",)]
    async with begin_worker(world.worker) as conn:
        assert await find_next_due(conn) == start
    await tick(world, start)
    assert await world.fetch("SELECT status FROM subscriptions") == [("active",)]
    assert await world.subjects() == ["SubscriptionActivated"] * 2
    async with begin_worker(world.worker) as conn:
        assert (await count_waiting(conn, start)).subscriptions == 0


async def test_a_start_in_the_past_has_all_its_periods(world: World) -> None:
    await world.create_plan("weekly", [a_charge("calls", "1")], unit=IntervalUnit.WEEK)
    await world.subscribe("acme", plan="weekly", now=instant("2024-01-17 10:00"))
    assert [row[1:3] for row in await periods(world, "acme")] == [
        ("2024-01-01", "2024-01-08"),
        ("2024-01-08", "2024-01-15"),
        ("2024-01-15", "2024-01-22"),
        ("2024-01-22", "2024-01-29"),
    ]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
async def test_a_start_at_the_end_of_all_dates_is_refused(world: World, zone: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        await world.subscribe("acme", start=instant("9999-12-31 23:59"), zone=zone)
    assert caught.value.field == "subscription.start"


async def test_the_life_that_goes_on_is_the_newest(world: World) -> None:
    now = instant("2024-01-25")
    await world.subscribe("acme", start=instant("2024-01-10"), end=instant("2024-01-20"), now=now)
    await world.subscribe("acme", start=instant("2024-01-05"), now=now)
    answer = await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=None, now=now
    )
    assert answer.subscription.start.ToDatetime(tzinfo=UTC) == instant("2024-01-05")


async def test_usage_by_the_month_is_written_as_far_as_its_quarters(world: World) -> None:
    calls, quarter = [a_charge("calls", "1")], IntervalUnit.QUARTER
    await world.create_plan("long", calls, base="90", unit=quarter, bill_usage_monthly=True)
    await world.subscribe("acme", plan="long", start=instant("2024-02-10 10:00"))

    async def written() -> list[tuple[str, str, str]]:
        return [(kind, first, end) for kind, first, end, *_ in await periods(world, "acme")]

    first_two = [
        ("usage", "2024-02-10", "2024-03-01"),
        ("base", "2024-02-10", "2024-04-01"),
        ("usage", "2024-03-01", "2024-04-01"),
        ("usage", "2024-04-01", "2024-05-01"),
        ("usage", "2024-05-01", "2024-06-01"),
        ("base", "2024-04-01", "2024-07-01"),
        ("usage", "2024-06-01", "2024-07-01"),
    ]
    await tick(world, instant("2024-03-31 23:59"))
    assert await written() == first_two
    await tick(world, instant("2024-04-01 00:00"))
    assert len(await written()) == 11
    await terminate(world, "acme", now=instant("2024-04-20 00:00"), end=instant("2024-05-03 09:00"))
    assert await written() == [
        *first_two[:4],
        ("base", "2024-04-01", "2024-05-04"),
        ("usage", "2024-05-01", "2024-05-04"),
    ]


async def test_a_backdated_start_may_skip_what_has_ended(world: World) -> None:
    await world.create_plan("base", [a_charge("calls", "1")], base="99", timing=Timing.IN_ADVANCE)
    start, now = instant("2023-11-10 00:00"), instant("2024-01-20 00:00")
    await world.subscribe("all", plan="base", start=start, now=now)
    await world.subscribe("new", plan="base", start=start, now=now, backfill=False)
    billed, skipped = [
        [(kind, first) for kind, first, *_ in await periods(world, name)] for name in ("all", "new")
    ]
    assert len(billed) == 8
    assert skipped == [
        ("base", "2024-01-01"),
        ("base", "2024-02-01"),
        ("usage", "2024-01-01"),
        ("usage", "2024-02-01"),
    ]
    await terminate(world, "new", now=now, end=None)
    assert [period[:3] for period in await periods(world, "new")] == [
        ("base", "2024-01-01", "2024-01-21"),
        ("usage", "2024-01-01", "2024-01-21"),
    ]


async def test_a_month_that_ended_within_the_present_quarter_may_be_skipped(world: World) -> None:
    calls, quarter = [a_charge("calls", "1")], IntervalUnit.QUARTER
    await world.create_plan("long", calls, base="90", unit=quarter, bill_usage_monthly=True)
    start, now = instant("2023-12-10 00:00"), instant("2024-02-01 00:00")
    await world.subscribe("new", plan="long", start=start, now=now, backfill=False)
    found = [(kind, first) for kind, first, *_ in await periods(world, "new")]
    assert found[:3] == [
        ("usage", "2024-02-01"),
        ("base", "2024-01-01"),
        ("usage", "2024-03-01"),
    ]
