"""What prorated charges cost wherever usage is priced: numbers that can be checked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from services.rating.domain.event import UsageEvent
from services.rating.domain.meter import Aggregation
from services.rating.domain.plan import Charge
from services.rating.domain.price import GraduatedPrice, StandardPrice, Tier
from services.rating.operations.usage import get_usage, get_usage_before
from tally.rating.v1.billing_period_pb2 import Fee
from tests.store.rating.conftest import JANUARY, World, a_charge, an_event, instant
from tests.store.rating.test_estimating import estimate
from tests.store.rating.test_recurring import move_calendar
from tests.store.rating.test_simulating import amounts, candidate, simulate

D = Decimal
JAN_17, JAN_25, FEB_1, MAR_1 = (
    instant(f"2024-{day}") for day in ("01-17", "01-25", "02-01", "03-01")
)
SEATS = Charge("seats", "seats", "", StandardPrice(D(1)), (), prorated=True)
USERS = Charge("users", "users", "", StandardPrice(D(1)), (), prorated=True)
# The first user costs 29 a month, each other 2.90, and 1 once there are others.
TIERS = GraduatedPrice((Tier(D(1), D(29), D(0)), Tier(None, D("2.9"), D(1))))


@pytest.fixture(autouse=True)
async def sold(world: World) -> None:
    await world.create_meter("seats", Aggregation.SUM, value="v", recurring=True)
    await world.create_meter("users", Aggregation.UNIQUE_COUNT, value="v", recurring=True)
    await world.create_plan("days", [SEATS, USERS])
    await world.create_plan("tiers", [replace(USERS, price=TIERS)])


def a_change(code: str, at: datetime, value: str, operation: str = "add") -> UsageEvent:
    return an_event("acme", at, type_=code, v=value, operation_type=operation)


def units(fees: Sequence[Fee]) -> dict[str, tuple[str, str]]:
    """Return prorated and full units, as their row tells them."""
    return {fee.meter_code: (fee.units, fee.breakdown[0].up_to) for fee in fees}


async def test_usage_counts_for_its_days_and_what_is_carried_for_all(world: World) -> None:
    await world.subscribe("acme", plan="days")
    await move_calendar(world, FEB_1)
    # 15 of 31 days are left on the 17th; the user goes on the 25th, after 9.
    await world.fold(a_change("seats", JAN_17, "31"), a_change("users", JAN_17, "ann"))
    await world.fold(a_change("seats", JAN_25, "-31"), a_change("users", JAN_25, "ann", "remove"))
    await world.fold(a_change("seats", JAN_17, "4"), a_change("users", JANUARY, "bea"))
    january = (await get_usage(world.reader, "acme", JANUARY)).fees
    assert units(january) == {"seats": ("9.93549", "4"), "users": ("1.29033", "1")}
    assert [fee.exact_amount for fee in january] == ["9.93549", "1.29033"]
    february = (await get_usage(world.reader, "acme", FEB_1)).fees
    assert units(february) == {"seats": ("4", "4"), "users": ("1", "1")}


async def test_usage_before_an_instant_counts_to_the_end_of_the_period(world: World) -> None:
    await world.subscribe("acme", plan="days")
    noon = instant("2024-01-17 12:00")
    await world.fold(a_change("seats", JAN_17, "31"), a_change("users", JAN_17, "ann"))
    await world.fold(a_change("seats", noon, "62"), a_change("users", noon, "bea"))
    await world.fold(a_change("users", JAN_25, "ann", "remove"))
    before = await get_usage_before(world.reader, "acme", JANUARY, noon)
    assert units(before.fees) == {"seats": ("15", "31"), "users": ("0.48388", "1")}


async def test_a_subscription_that_ends_is_billed_for_its_days_only(world: World) -> None:
    # The day at whose first instant it ends is billed, as it is of base fees: 17 of 31.
    await world.subscribe("acme", plan="days", end=JAN_17)
    await world.fold(a_change("seats", JANUARY, "31"), a_change("users", JANUARY, "ann"))
    usage = await get_usage(world.reader, "acme", JANUARY)
    assert units(usage.fees) == {"seats": ("17", "31"), "users": ("0.54839", "1")}


async def test_values_that_are_carried_take_their_tiers_in_the_order_they_came(
    world: World,
) -> None:
    await world.subscribe("acme", plan="tiers")
    await move_calendar(world, FEB_1)
    days = [JANUARY.replace(day=day) for day in (2, 3, 4, 5, 6)]
    for at, value, operation in [
        (days[1], "bea", "add"),
        (days[0], "ann", "add"),
        (days[2], "ann", "remove"),
        (days[4], "bea", "add"),  # Is there already.
        (days[3], "ann", "add"),  # Is the second one now.
        (FEB_1.replace(day=10), "ann", "remove"),
    ]:
        await world.fold(a_change("users", at, value, operation))
    [fee] = (await get_usage(world.reader, "acme", FEB_1)).fees
    # 29 for bea, and for ann 10 of 29 days: 2.90 x 10 / 29, and 1.
    assert (fee.units, fee.exact_amount) == ("1.34483", "31")
    weighed, first, second = fee.breakdown
    assert (weighed.label, weighed.units, weighed.up_to) == ("prorated", "1.34483", "1")
    assert (first.units, first.amount) == ("1", "29")
    assert (second.flat_amount, second.amount) == ("1", "2")


async def test_a_value_that_is_removed_and_back_on_one_day_stays(world: World) -> None:
    await world.subscribe("acme", plan="tiers")
    late = JAN_17.replace(hour=20)
    await world.fold(
        a_change("users", JANUARY, "ann"),
        a_change("users", JAN_17, "ann", "remove"),
        a_change("users", JAN_17.replace(hour=9), "bea"),  # The second one: ann was not gone.
        a_change("users", late, "ann"),
    )
    [fee] = (await get_usage(world.reader, "acme", JANUARY)).fees
    assert (fee.units, [row.label for row in fee.breakdown]) == (
        "1.48388",
        ["prorated", "tier", "tier"],
    )
    assert fee.breakdown[1].amount == "29"


async def test_prorated_charges_are_tried_on_past_usage_and_on_events(world: World) -> None:
    await world.create_plan("full", [a_charge("seats", "1"), a_charge("users", "1")])
    await world.subscribe("acme", plan="full", now=MAR_1)
    await world.fold(a_change("seats", JAN_17, "31"), a_change("users", JAN_17, "ann"))
    answers = await simulate(world, candidate(SEATS, replace(USERS, price=TIERS)), end=FEB_1)
    # 15 and 29 x 15 / 31.
    assert amounts(answers) == {"acme": (3200, 1500 + 1403)}


async def test_an_estimate_of_prorated_usage_is_what_it_costs_once_folded(world: World) -> None:
    await world.create_plan("both", [SEATS, replace(USERS, price=TIERS)])
    await world.subscribe("acme", plan="both")
    await world.fold(a_change("seats", JANUARY, "31"), a_change("users", JANUARY, "ann"))
    more = [a_change("seats", JAN_17, "31"), a_change("users", JAN_17, "bea")]
    [estimated] = (await estimate(world, more)).usage
    assert estimated.before.amount_minor == 3100 + 2900
    # 15 more, and 2.90 x 15 / 31 + 1.
    assert estimated.after.amount_minor == 4600 + 2900 + 240
    await world.fold(*more)
    assert (await get_usage(world.reader, "acme", JANUARY)).amount == estimated.after
