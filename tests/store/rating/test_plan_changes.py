"""Changes of a plan: new terms, periods that are cut, and what they cost to the cent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from libs.errors import FieldInvalid
from services.rating.domain.meter import Aggregation
from services.rating.domain.plan import FixedCharge, IntervalUnit, Timing
from services.rating.domain.plan_changing import Change, PlanEffective
from services.rating.domain.price import StandardPrice
from services.rating.domain.simulation import CurrencyMismatch
from services.rating.domain.subscription import EtagMismatch, SubscriptionTerminated, UnusedFee
from services.rating.operations.plan_changes import (
    Named,
    WantedPlan,
    cancel_plan_change,
    change_plan,
)
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.subscriptions import (
    Termination,
    TerminationTime,
    get_subscription,
    terminate_subscription,
)
from services.rating.operations.transitions import apply_due
from tally.rating.v1 import subscription_service_pb2 as pb
from tests.store.rating.conftest import (
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
)

DEFAULT = Change(PlanEffective.UNSPECIFIED)


async def change(
    world: World, plan: str, at: str, *, when: Change = DEFAULT, etag: str = "", dry: bool = False
) -> pb.ChangePlanResponse:
    wanted = WantedPlan(Named("acme", etag), plan, 0, when)
    return await change_plan(
        world.app, TENANT, a_request(), wanted, now=instant(at), validate_only=dry
    )


async def end(world: World, at: str, *, on: str = "", **how: Any) -> pb.Subscription:
    answer = await terminate_subscription(
        world.app,
        TENANT,
        a_request(),
        subscription_id="acme",
        end=instant(on) if on else None,
        now=instant(at),
        how=Termination(**how),
    )
    return answer.subscription


async def run(world: World, at: str) -> None:
    """Do all that is due by `at`, and close or adjust each period that was announced."""
    now = instant(at)
    while await apply_due(world.worker, now):
        pass
    while await world.announce(now):
        pass
    for (period_id,) in await world.fetch(
        "SELECT period_id FROM billing_periods WHERE status = 'due' ORDER BY due_at, period_id"
    ):
        await world.close(period_id, now)
    for period_id, frozen in await world.fetch(
        "SELECT p.period_id, (SELECT count(*) FROM closes c WHERE c.period_id = p.period_id)"
        " FROM billing_periods p WHERE status = 'closed' AND late_version >"
        " (SELECT max(late_version) FROM closes c WHERE c.period_id = p.period_id)"
        " ORDER BY due_at, p.period_id"
    ):
        await world.adjust(period_id, frozen)


async def billed(world: World) -> list[tuple[str, str, int]]:
    """Return all that was frozen: plan, charge ("" for the base fee) and minor units."""
    found = await world.fetch(
        "SELECT v.plan_code, f.charge_code, f.amount_minor FROM closed_fees f"
        " JOIN billing_periods p USING (tenant, period_id)"
        " JOIN plan_versions v USING (tenant, plan_version_id)"
        " JOIN closes c USING (tenant, period_id, sequence)"
        " ORDER BY c.closed_at, p.usage_start, f.sequence, f.charge_code"
    )
    return [tuple(row) for row in found]


async def sell(world: World, **bases: str) -> None:
    """Create plans with base fees by the month, in advance."""
    for code, base in bases.items():
        await world.create_plan(code, [a_charge("calls", "0.01")], base=base, timing=ADVANCE)


ADVANCE = Timing.IN_ADVANCE


async def test_two_upgrades_in_one_day_give_back_what_was_paid(world: World) -> None:
    await sell(world, one="10", two="15", three="19")
    start = instant("2024-03-05 12:12")
    await world.subscribe("acme", plan="one", start=start, now=start, delay_s=0)
    await run(world, "2024-03-05 12:12")
    await change(world, "two", "2024-03-12 12:12")
    await run(world, "2024-03-12 12:12")
    await change(world, "three", "2024-03-12 13:12")
    await run(world, "2024-03-12 13:12")
    assert await billed(world) == [
        ("one", "", 871),  # 27 of 31 days.
        ("one", "", -645),  # 7 are left.
        ("two", "", 968),  # 20 of 31 days.
        ("two", "", -968),
        ("three", "", 1226),
    ]


async def test_the_plan_at_an_instant_takes_an_event_once(world: World) -> None:
    await sell(world, one="10", two="15")
    start = instant("2024-03-05 12:00")
    await world.subscribe("acme", plan="one", start=start, now=start, delay_s=0)
    await world.fold(
        *(an_event("acme", instant(f"2024-03-12 {at}")) for at in ("10:00", "11:59")),
        *(an_event("acme", instant(f"2024-03-12 {at}")) for at in ("12:00", "12:30", "20:00")),
    )
    await change(world, "two", "2024-03-12 12:00")  # Three of them are the new plan's now.
    assert await reattribute_next(world.worker, world)
    assert not await reattribute_next(world.worker, world)
    await run(world, "2024-04-01 00:00")
    assert [one for one in await billed(world) if one[1]] == [
        ("one", "calls", 2),
        ("two", "calls", 3),
    ]


async def test_a_downgrade_waits_for_the_end_of_the_period(world: World) -> None:
    await sell(world, one="10", two="15")
    start = instant("2024-03-05 12:00")
    await world.subscribe("acme", plan="two", start=start, now=start, delay_s=0)
    answer = await change(world, "one", "2024-03-10 09:00")
    assert answer.subscription.plan_code == "two"
    assert [(one.plan_code, one.start.ToJsonString()) for one in answer.terms] == [
        ("two", "2024-03-05T12:00:00Z"),
        ("one", "2024-04-01T00:00:00Z"),
    ]
    await run(world, "2024-03-31 23:00")
    await run(world, "2024-04-01 00:00")
    found = await get_subscription(world.app, TENANT, "acme")
    assert found.subscription.plan_code == "one"
    assert await billed(world) == [("two", "", 1306), ("one", "", 1000)]
    assert (await world.subjects()).count("SubscriptionChanged") == 2


async def test_a_pending_change_is_replaced_or_taken_back(world: World) -> None:
    await sell(world, one="10", two="15", three="5")
    start = instant("2024-03-05 12:00")
    await world.subscribe("acme", plan="two", start=start, now=start, delay_s=0)
    first = await change(world, "one", "2024-03-10 09:00")
    second = await change(world, "three", "2024-03-11 09:00", etag=first.subscription.etag)
    assert [one.plan_code for one in second.terms] == ["two", "three"]
    with pytest.raises(EtagMismatch):
        await change(world, "one", "2024-03-11 09:00", etag=first.subscription.etag)
    back = await change(world, "two", "2024-03-12 09:00")
    assert [one.plan_code for one in back.terms] == ["two"]
    periods = await world.fetch("SELECT kind, count(*) FROM billing_periods GROUP BY 1 ORDER BY 1")
    assert periods == [("base", 2), ("usage", 2)]
    await change(world, "one", "2024-03-12 10:00")
    taken = await cancel_plan_change(
        world.app, TENANT, a_request(), Named("acme"), now=instant("2024-03-13")
    )
    assert [one.plan_code for one in taken.terms] == ["two"]
    again = await cancel_plan_change(
        world.app, TENANT, a_request(), Named("acme"), now=instant("2024-03-13")
    )
    assert again.subscription == taken.subscription


async def test_a_change_that_is_only_checked_stores_nothing(world: World) -> None:
    await sell(world, one="10", two="15")
    await world.subscribe("acme", plan="one", delay_s=0)
    answer = await change(world, "two", "2024-01-10", dry=True)
    assert answer.subscription.plan_code == "two"
    found = await get_subscription(world.app, TENANT, "acme")
    assert (found.subscription.plan_code, found.subscription.etag) == ("one", "1")


@pytest.mark.parametrize(
    ("when", "field"),
    [
        (Change(PlanEffective.AT, instant("2024-01-09 23:59")), "at"),
        (Change(PlanEffective.AT, instant("2024-01-20 00:00")), "at"),
        (Change(PlanEffective.PERIOD_END), "effective"),
    ],
)
async def test_a_change_outside_of_the_rest_of_the_life_is_refused(
    world: World, when: Change, field: str
) -> None:
    await sell(world, one="10", two="15")
    await world.subscribe("acme", plan="one", end=instant("2024-01-20 00:00"))
    with pytest.raises(FieldInvalid) as caught:
        await change(world, "two", "2024-01-10", when=when)
    assert caught.value.field == field


async def test_what_has_ended_or_pays_in_another_currency_is_not_changed(world: World) -> None:
    await sell(world, one="10", two="15")
    await world.subscribe("acme", plan="one")
    await world.fetch("UPDATE plans SET currency = 'EUR' WHERE code = 'two' RETURNING code")
    with pytest.raises(CurrencyMismatch):
        await change(world, "two", "2024-01-10")
    await end(world, "2024-01-11")
    with pytest.raises(SubscriptionTerminated):
        await change(world, "one", "2024-01-12")


async def test_recurring_usage_is_weighed_by_the_days_of_each_plan(world: World) -> None:
    await world.create_meter("seats", Aggregation.SUM, value="value", recurring=True)
    seat = replace(a_charge("seats", "1"), prorated=True)
    await world.create_plan("small", [seat], base="29")
    await world.create_plan("large", [seat], base="290")
    start = instant("2024-01-01")
    await world.subscribe("acme", plan="small", start=start, now=start, delay_s=0)
    event = an_event("acme", instant("2024-01-02"), type_="seats", value="5")
    await world.fold(event)
    await run(world, "2024-02-01")
    await change(world, "large", "2024-02-12 06:00")
    await run(world, "2024-02-12 06:00")
    await run(world, "2024-03-01 12:00")
    found = await billed(world)
    assert found[2:] == [
        ("small", "", 1100),
        ("small", "seats", 190),  # 500 x 11 / 29.
        ("large", "", 18000),
        ("large", "seats", 310),  # 500 x 18 / 29.
    ]


def fixed(code: str, price: str, units: str, timing: Timing) -> FixedCharge:
    return FixedCharge(code, "", StandardPrice(Decimal(price)), Decimal(units), timing, True)


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        (Timing.IN_ARREARS, [("plan", "A", 677), ("plan", "B", 1016)]),  # 21 of 31 days.
        (ADVANCE, [("plan", "A", -355), ("plan", "B", -532)]),  # 11 of 31 days.
    ],
)
async def test_fixed_charges_in_arrears_count_the_day_of_the_change_on_both_sides(
    world: World, timing: Timing, expected: Sequence[tuple[str, str, int]]
) -> None:
    old = [fixed("A", "1", "10", timing), fixed("B", "3", "5", timing)]
    new = [fixed("B", "10", "10", timing), fixed("C", "20", "1", timing)]
    await world.create_plan("plan", [], base="1", fixed=old)
    await world.create_plan("more", [], base="100", fixed=new)
    start = instant("2023-07-19 12:12")
    await world.subscribe("acme", plan="plan", start=start, now=start, delay_s=0)
    await run(world, "2023-08-01")
    before = await billed(world)
    await change(world, "more", "2023-08-21 12:00")
    await run(world, "2023-08-21 12:00")
    after = (await billed(world))[len(before) :]
    assert [one for one in after if one[0] == "plan" and one[1]] == list(expected)
    assert ("plan", "", 65) in after  # 20 of 31 days.
    await run(world, "2023-09-01")
    assert ("more", "B", 3548) in await billed(world)  # 11 of 31 days.
    assert ("more", "C", 710) in await billed(world)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, [("one", "", 7500), ("one", "", -2500), ("one", "calls", 50)]),
        (
            {"unused_fee": UnusedFee.OFFSET},
            [("one", "", 7500), ("one", "", -2500), ("one", "calls", 50)],
        ),
        ({"unused_fee": UnusedFee.SKIP}, [("one", "", 7500), ("one", "calls", 50)]),
        ({"final_invoice": False}, [("one", "", 7500), ("one", "", -2500)]),
    ],
)
async def test_a_termination_bills_and_gives_back_as_asked(
    world: World, how: dict[str, Any], expected: Sequence[tuple[str, str, int]]
) -> None:
    await sell(world, one="100")
    start = instant("2025-02-08")
    await world.subscribe("acme", plan="one", start=start, now=start, delay_s=0)
    await run(world, "2025-02-08")
    await world.fold(*(an_event("acme", instant("2025-02-10")) for _ in range(50)))
    ended = await end(world, "2025-02-21", **how)
    await run(world, "2025-02-21")
    await run(world, "2025-03-21")
    assert sorted(await billed(world)) == sorted(expected)
    status = pb.SubscriptionStatus.Name(ended.status)
    assert status == "SUBSCRIPTION_STATUS_TERMINATED"


async def test_an_end_that_is_set_ahead_acts_as_its_day_begins_and_bills_it(world: World) -> None:
    await world.create_plan("one", [a_charge("calls", "0.01")], base="30")
    start = instant("2023-09-05")
    await world.subscribe("acme", plan="one", start=start, now=start, delay_s=0)
    ended = await end(world, "2023-09-05", on="2023-09-06 13:00")
    assert ended.end.ToJsonString() == "2023-09-06T00:00:00Z"
    await run(world, "2023-09-06")
    assert await billed(world) == [("one", "", 200)]  # Two days of 30.


async def test_a_termination_with_the_period_bills_it_whole(world: World) -> None:
    await world.create_plan("one", [a_charge("calls", "0.01")], base="30")
    await world.subscribe("acme", plan="one", delay_s=0)
    ended = await end(world, "2024-01-05", when=TerminationTime.PERIOD_END)
    assert ended.end.ToJsonString() == "2024-02-01T00:00:00Z"
    await run(world, "2024-02-02")
    assert await billed(world) == [("one", "", 3000)]


async def test_what_has_not_started_is_canceled(world: World) -> None:
    await sell(world, one="100")
    await world.subscribe("acme", plan="one", start=instant("2024-02-13"))
    canceled = await end(world, "2024-02-08")
    assert canceled.status == pb.SubscriptionStatus.SUBSCRIPTION_STATUS_CANCELED
    await run(world, "2024-03-08")
    assert await billed(world) == []


async def test_a_monthly_plan_becomes_a_yearly_one_by_the_same_anchor(world: World) -> None:
    await sell(world, monthly="10")
    await world.create_plan(
        "yearly", [a_charge("calls", "0.01")], base="120", timing=ADVANCE, unit=IntervalUnit.YEAR
    )
    start = instant("2023-06-29 12:12")
    await world.subscribe("acme", plan="monthly", start=start, now=start, delay_s=0)
    await run(world, "2023-09-28 05:00")
    before = len(await billed(world))
    await change(world, "yearly", "2023-09-28 05:00")
    await run(world, "2023-09-28 05:00")
    assert (await billed(world))[before:] == [
        ("monthly", "", -100),  # 3 of 30 days.
        ("yearly", "", 3123),  # 95 of 365 days, up to the calendar's year.
    ]
