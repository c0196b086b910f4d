"""What events would cost, as if they were recorded now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.rating.domain.estimating import LAST_NUMBER, LAST_SHARD
from services.rating.domain.event import Moment, UsageEvent
from services.rating.domain.meter import Aggregation
from services.rating.operations.estimating import estimate_events
from services.rating.operations.usage import get_usage
from tally.rating.v1 import usage_service_pb2 as pb
from tally.rating.v1.billing_period_pb2 import PeriodStatus
from tests.store.rating.conftest import JANUARY, World, a_charge, an_event, instant

FEBRUARY = instant("2024-02-01")
BILLED = timedelta(minutes=11)


async def estimate(world: World, events: Sequence[UsageEvent]) -> pb.EstimateEventsResponse:
    tried = [
        replace(event, moment=Moment(event.moment.time, LAST_SHARD, LAST_NUMBER, place))
        for place, event in enumerate(events)
    ]
    return await estimate_events(world.reader, tried)


async def test_an_estimate_is_what_usage_costs_once_the_events_are_folded(world: World) -> None:
    """For every aggregation, and to the last row but the one that takes off the old price."""
    for each in Aggregation:
        value = "" if each is Aggregation.COUNT else "value"
        await world.create_meter(f"m-{each}", each, value=value)
    await world.create_plan("all", [a_charge(f"m-{each}", "1.5") for each in Aggregation])
    await world.subscribe("a", plan="all")

    def used(*numbers: str) -> list[UsageEvent]:
        # All at one instant: what comes later in the log counts as later.
        values: list[dict[str, Any]] = [{"value": number} for number in numbers]
        return [
            an_event("a", JANUARY, type_=f"m-{each}", **value)
            for value in values
            for each in Aggregation
        ]

    await world.fold(*used("7", "2", "3"))
    [estimated] = (await estimate(world, used("3", "12", "1", "4"))).usage
    before = (await get_usage(world.reader, "a", JANUARY)).amount
    await world.fold(*used("3", "12", "1", "4"))
    now = await get_usage(world.reader, "a", JANUARY)
    assert (estimated.before, estimated.after) == (before, now.amount)
    assert estimated.event_count == 4 * len(Aggregation)
    prices = {fee.charge_code: list(fee.breakdown) for fee in now.fees}
    assert {fee.charge_code: list(fee.breakdown)[:-1] for fee in estimated.differences} == prices
    counted = {fee.charge_code: fee.units for fee in estimated.differences}
    assert (counted["m-count"], counted["m-sum"], counted["m-max"]) == ("4", "20", "5")
    assert (counted["m-latest"], counted["m-unique_count"]) == ("1", "3")


async def test_nothing_is_stored(world: World) -> None:
    await world.subscribe("a")
    tables = ("cells", "cell_values", "unattributed", "outbox", "applied")
    before = [await world.fetch(f"SELECT * FROM {table}") for table in tables]
    await estimate(world, [an_event("a", JANUARY), an_event("nobody", JANUARY)])
    assert [await world.fetch(f"SELECT * FROM {table}") for table in tables] == before


async def test_events_that_cost_nothing_say_why(world: World) -> None:
    await world.subscribe("a", start=JANUARY + timedelta(days=1))
    second = JANUARY + timedelta(days=1)
    events = [
        an_event("a", JANUARY),  # Before the subscription starts.
        an_event("a", second),
        an_event("a", second, type_="unknown"),
        an_event("a", second, subscription="other"),
        an_event("a", instant("2025-06-01")),  # In a period that is not written yet.
    ]
    answer = await estimate(world, events)
    assert list(answer.unattributed) == [0, 2, 3]
    assert list(answer.unpriced) == [4]
    [usage] = answer.usage
    assert (usage.event_count, usage.before.amount_minor, usage.after.amount_minor) == (1, 0, 1)


async def test_events_of_several_customers_and_months_are_told_apart(world: World) -> None:
    await world.subscribe("b", zone="America/New_York", now=FEBRUARY)
    await world.subscribe("a", now=FEBRUARY)
    await world.announce(FEBRUARY + BILLED)
    await world.close(await world.period_id("a"), FEBRUARY + BILLED)
    events = [
        *[an_event("a", JANUARY)] * 2,
        *[an_event("a", FEBRUARY)] * 3,
        *[an_event("b", FEBRUARY)] * 4,  # Still January in New York.
    ]
    found = (await estimate(world, events)).usage
    assert [
        (one.subscription_id, one.period.start.ToDatetime().month, one.after.amount_minor)
        for one in found
    ] == [("a", 1, 2), ("a", 2, 3), ("b", 1, 4)]
    assert [one.status for one in found] == [
        PeriodStatus.PERIOD_STATUS_CLOSED,
        PeriodStatus.PERIOD_STATUS_OPEN,
        PeriodStatus.PERIOD_STATUS_OPEN,
    ]
