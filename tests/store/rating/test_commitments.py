"""Trials and minimum commitments: which periods there are, and what closes of them freeze."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from libs.db import Snapshots
from services.rating.domain.plan import FixedCharge, IntervalUnit, Timing
from services.rating.domain.price import StandardPrice
from services.rating.operations.rating import rate_period
from services.rating.operations.subscriptions import terminate_subscription
from services.rating.operations.verifying_fees import verify_fees
from tally.rating.v1 import rating_service_pb2
from tally.rating.v1.billing_period_pb2 import FeeKind
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
)

NOON = instant("2024-01-10 12:00")
FEBRUARY, MARCH = instant("2024-02-01 00:10"), instant("2024-03-01 00:10")
SEATS = FixedCharge(
    "seats", "", StandardPrice(Decimal(31)), Decimal(1), Timing.IN_ADVANCE, prorated=True
)


async def verified(world: World) -> list[object]:
    snapshots = Snapshots(world.app, world.worker, TENANT)
    return [one async for one in verify_fees(snapshots, world, Counter())]


def shown(rated: rating_service_pb2.RatedPeriod) -> dict[str, int]:
    """Return the amounts by what they are for."""
    return {
        FeeKind.Name(fee.kind).removeprefix("FEE_KIND_"): fee.amount.amount_minor
        for fee in rated.fees
    }


async def base_days(world: World, subscription_id: str) -> list[tuple[str, str]]:
    rows = await world.fetch(
        "SELECT fee_first_day, due_at FROM billing_periods WHERE subscription_id = :id"
        " AND kind = 'base' ORDER BY due_at",
        id=subscription_id,
    )
    return [(f"{day:%m-%d}", f"{due:%m-%d %H:%M}") for day, due in rows]


@pytest.mark.parametrize("timing", Timing)
async def test_late_usage_is_billed_once_however_much_a_commitment_has_covered(
    world: World, timing: Timing
) -> None:
    charges = [a_charge("calls", "1")]
    await world.create_plan(
        "pro",
        charges,
        base="62",
        timing=timing,
        fixed=[SEATS],
        minimum_commitment=Decimal(310),
    )
    await world.subscribe("acme", plan="pro", start=instant("2024-01-16 09:00"))
    await world.fold(*[an_event("acme", instant("2024-01-20 12:00"))] * 10)
    for now in (instant("2024-01-16 09:00"), FEBRUARY):
        await world.announce(now)
    if timing is Timing.IN_ARREARS:
        await world.announce(FEBRUARY)
    usage = await world.period_id("acme")
    # 16 of 31 days: 160 committed; 32 of base fee and 16 for the seat are in other periods.
    frozen = await world.close(usage, FEBRUARY)
    assert shown(frozen) == {"USAGE": 10_00, "COMMITMENT": 102_00}
    assert frozen.fees[-1].display_name == "pro"
    await world.fold(*[an_event("acme", instant("2024-01-21 12:00"))] * 100)
    late = await world.adjust(usage, 1)
    assert shown(late) == {"USAGE": 100_00, "COMMITMENT": -100_00}
    await world.fold(*[an_event("acme", instant("2024-01-21 12:00"))] * 5)
    assert shown(await world.adjust(usage, 2)) == {"USAGE": 5_00, "COMMITMENT": -2_00}
    assert (await rate_period(world.app, world, TENANT, usage)).rated.amount.amount_minor == 115_00
    await world.close(await world.period_id("acme", kind="base"), FEBRUARY)
    assert await verified(world) == []


async def test_a_plan_of_nothing_but_a_commitment_has_periods_that_bill_it(world: World) -> None:
    await world.create_plan("pro", [], minimum_commitment=Decimal(310))
    await world.subscribe("acme", plan="pro")
    end = instant("2024-02-10 00:00")
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=end, now=JANUARY
    )
    await world.announce(FEBRUARY)
    await world.announce(MARCH)
    amounts = [shown(await world.close(await world.period_id("acme", n=n), MARCH)) for n in (0, 1)]
    # 10 of 29 days, the one of its end included: 106.8965…
    assert amounts == [{"COMMITMENT": 310_00}, {"COMMITMENT": 106_90}]
    assert await verified(world) == []


async def test_an_id_has_one_trial_over_all_its_lives(world: World) -> None:
    await world.create_plan(
        "pro",
        [],
        base="31",
        timing=Timing.IN_ADVANCE,
        trial_days=10,
        minimum_commitment=Decimal(31),
    )
    await world.subscribe("acme", plan="pro", start=NOON, now=NOON)
    assert await base_days(world, "acme") == [("01-20", "01-20 12:00"), ("02-01", "02-01 00:10")]
    await terminate_subscription(
        world.app,
        TENANT,
        a_request(),
        subscription_id="acme",
        end=None,
        now=instant("2024-01-12 12:00"),
    )
    assert await base_days(world, "acme") == [], "it ended within its trial"
    await world.subscribe(
        "acme", plan="pro", start=instant("2024-01-14 12:00"), now=instant("2024-01-14 12:00")
    )
    assert await base_days(world, "acme") == [("01-20", "01-20 12:00"), ("02-01", "02-01 00:10")]
    await world.subscribe("zeta", plan="pro", start=NOON, now=NOON)
    assert await base_days(world, "zeta") == [("01-20", "01-20 12:00"), ("02-01", "02-01 00:10")]
    await world.announce(instant("2024-01-20 12:00"))
    base = await world.period_id("zeta", kind="base")
    assert shown(await world.close(base, FEBRUARY)) == {"BASE": 12_00}
    await world.announce(FEBRUARY)
    # The trial does not shelter the commitment: 22 days less the 12 of the base fee.
    usage = await world.period_id("zeta")
    assert shown(await world.close(usage, FEBRUARY)) == {"COMMITMENT": 10_00}
    assert await verified(world) == []


async def test_a_life_that_came_to_nothing_begins_no_trial(world: World) -> None:
    await world.create_plan("pro", [], base="31", timing=Timing.IN_ADVANCE, trial_days=10)
    await world.subscribe("acme", plan="pro", start=NOON, now=JANUARY)
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=None, now=JANUARY
    )
    start = instant("2024-01-15 12:00")
    await world.subscribe("acme", plan="pro", start=start, now=start)
    assert await base_days(world, "acme") == [("01-25", "01-25 12:00"), ("02-01", "02-01 00:10")]


async def test_usage_by_the_month_counts_for_the_commitment_of_the_quarter(world: World) -> None:
    await world.create_plan(
        "pro",
        [a_charge("calls", "1")],
        base="30",
        unit=IntervalUnit.QUARTER,
        timing=Timing.IN_ADVANCE,
        minimum_commitment=Decimal(300),
        bill_usage_monthly=True,
    )
    await world.subscribe("acme", plan="pro")
    months = (NOON, instant("2024-02-10 12:00"), instant("2024-03-10 12:00"))
    for count, at in zip((10, 20, 5), months, strict=True):
        await world.fold(*[an_event("acme", at)] * count)
    closed: list[dict[str, int]] = []
    for now in (JANUARY, FEBRUARY, MARCH, instant("2024-04-01 00:10")):
        await world.announce(now)
        if now > JANUARY:
            period = await world.period_id("acme", n=len(closed))
            closed.append(shown(await world.close(period, now)))
    # 300 less 30 of base fee and 35 of usage.
    assert closed == [{"USAGE": 10_00}, {"USAGE": 20_00}, {"USAGE": 5_00, "COMMITMENT": 235_00}]
    await world.close(await world.period_id("acme", kind="base"), FEBRUARY)
    assert await verified(world) == []
    await world.fold(*[an_event("acme", NOON)] * 7)
    first, last = await world.period_id("acme"), await world.period_id("acme", n=2)
    changed = await world.fetch("SELECT period_id FROM billing_periods WHERE late_version > 0")
    assert {period_id for (period_id,) in changed} == {first, last}
    assert shown(await world.adjust(first, 1)) == {"USAGE": 7_00}
    assert shown(await world.adjust(last, 1)) == {"COMMITMENT": -7_00}
    assert await verified(world) == []
