"""Past periods under other plan versions, from the usage that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from libs.db import Snapshots, begin
from libs.errors import FieldsInvalid, TallyError
from services.rating.domain.instant_charge import InstantTerms, Settle
from services.rating.domain.meter import Aggregation, MeterUnknown
from services.rating.domain.plan import (
    Charge,
    IntervalUnit,
    PlanNotFound,
    PlanVersion,
    PlanVersionNotFound,
    Timing,
)
from services.rating.domain.price import GraduatedPrice, Tier
from services.rating.domain.simulation import Candidate, StoredVersion
from services.rating.operations import rating, simulating, subscriptions
from services.rating.operations.simulating import simulate_plan
from services.rating.store.merged_cells import load_merged_cells
from services.rating.store.meters import load_meters
from services.rating.store.periods import load_period
from services.rating.store.simulation import Selection
from services.rating.store.usage_schema import CELL_KEY, cells
from tally.rating.v1 import rating_service_pb2 as pb
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_bucket,
    a_charge,
    a_request,
    an_event,
    instant,
)

FEBRUARY, MARCH = instant("2024-02-01"), instant("2024-03-01")
BILLED = timedelta(minutes=11)


def candidate(
    *charges: Charge, base: str | None = None, unit: IntervalUnit = IntervalUnit.MONTH
) -> Candidate:
    version = PlanVersion(
        plan_version_id=uuid4(),
        version=1,
        interval_unit=unit,
        base_amount=None if base is None else Decimal(base),
        base_timing=None if base is None else Timing.IN_ARREARS,
        charges=charges,
        created_at=JANUARY,
    )
    return Candidate("Tried", "USD", version)


async def simulate(
    world: World,
    *wanted: Candidate | StoredVersion,
    customers: Sequence[str] = (),
    plan: str = "",
    end: datetime = MARCH,
    with_periods: bool = False,
) -> list[pb.SimulatePlanResponse]:
    selection = Selection(JANUARY, end, customers, plan)
    snapshots = Snapshots(world.app, world.worker, TENANT)
    answers = simulate_plan(snapshots, world, TENANT, wanted, selection, with_periods=with_periods)
    return [answer async for answer in answers]


def amounts(answers: Sequence[pb.SimulatePlanResponse]) -> dict[str, tuple[int, ...]]:
    """Return before and after in cents, by subscription; after has one for each candidate."""
    found = [one.subscription for one in answers if one.HasField("subscription")]
    return {one.subscription_id: in_cents(one) for one in found}


def in_cents(one: pb.SimulatedSubscription | pb.Simulation) -> tuple[int, ...]:
    """Return what it comes to before, and under each candidate."""
    return (one.before.amount_minor, *(tried.amount.amount_minor for tried in one.after))


async def extend(world: World, *subscription_ids: str) -> None:
    """Subscribe from January on, with the periods of January and February written."""
    for subscription_id in subscription_ids:
        await world.subscribe(subscription_id, now=MARCH)


async def test_each_subscription_is_priced_before_and_after_and_last_all_of_them(
    world: World,
) -> None:
    await extend(world, "a", "b")
    january, february = instant("2024-01-10"), instant("2024-02-10")
    await world.fold(*(an_event("a", january + timedelta(days=n)) for n in range(10)))
    await world.fold(*[an_event("a", february)] * 5, *[an_event("b", january)] * 3)
    answers = await simulate(world, candidate(a_charge("calls", "0.02"), base="1"))
    # A cent a call; then two, and a dollar for each of two months.
    assert amounts(answers) == {"a": (15, 230), "b": (3, 206)}
    whole = answers[-1].simulation
    assert (whole.subscription_count, whole.period_count) == (2, 4)
    assert in_cents(whole) == (18, 436)
    [total] = whole.after
    assert (total.amount.currency_code, total.unmetered_count) == ("USD", 0)


async def test_a_page_ends_within_a_subscription_and_nothing_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulating, "PERIODS_AT_ONCE", 3)
    await extend(world, "a", "b", "c")
    for customer in "abc":
        await world.fold(an_event(customer, JANUARY), an_event(customer, FEBRUARY))
    answers = await simulate(world, candidate(a_charge("calls", "0.03")))
    assert amounts(answers) == {"a": (2, 6), "b": (2, 6), "c": (2, 6)}
    assert answers[-1].simulation.period_count == 6


async def test_only_the_customers_and_the_plan_named_are_simulated(world: World) -> None:
    await world.create_plan("other", [a_charge("calls", "0.05")])
    await extend(world, "a", "b")
    await world.subscribe("c", plan="other", now=MARCH)
    for customer in "abc":
        await world.fold(an_event(customer, JANUARY))
    tried = StoredVersion("other", 0)
    assert amounts(await simulate(world, tried)) == {"a": (1, 5), "b": (1, 5), "c": (5, 5)}
    assert amounts(await simulate(world, tried, customers=["b"])) == {"b": (1, 5)}
    assert amounts(await simulate(world, tried, plan="other")) == {"c": (5, 5)}
    [nothing] = await simulate(world, tried, customers=["z"])
    assert (nothing.simulation.period_count, in_cents(nothing.simulation)) == (0, (0, 0))


async def test_periods_come_with_their_fees_and_whether_they_are_closed(world: World) -> None:
    await world.subscribe("a", now=JANUARY)
    await world.fold(*[an_event("a", JANUARY)] * 4)
    await world.announce(FEBRUARY + BILLED)
    await world.close(await world.period_id("a"), FEBRUARY + BILLED)
    await world.fold(an_event("a", JANUARY))  # Late: it is in what the usage costs now.
    tiers = (Tier(Decimal(2), Decimal(1), Decimal(0)), Tier(None, Decimal("0.5"), Decimal(0)))
    tried = candidate(Charge("calls", "calls", "", GraduatedPrice(tiers), ()), base="3")
    answers = await simulate(world, tried, end=FEBRUARY, with_periods=True)
    period, subscription, _ = answers
    assert [fee.amount.amount_minor for fee in period.period.fees_before] == [5]
    [after] = period.period.after
    base, usage = after.fees
    assert (base.display_name, base.amount.amount_minor) == ("Tried", 300)
    assert [row.amount for row in usage.breakdown] == ["2", "1.5"]
    assert (period.period.before.amount_minor, after.amount.amount_minor) == (5, 650)
    assert subscription.subscription.closed_count == 1


async def test_a_base_fee_of_the_period_is_part_of_what_it_costs_before(world: World) -> None:
    await world.create_plan("base", [a_charge("calls", "0.01")], base="31")
    await world.create_plan("flat", [], base="62")
    start = instant("2024-01-22")  # 10 of 31 days.
    await world.subscribe("a", plan="base", start=start, now=FEBRUARY)
    await world.subscribe("b", plan="flat", start=start, now=FEBRUARY)
    await world.fold(an_event("a", start))
    answers = await simulate(world, candidate(base="3.1"), end=FEBRUARY)
    assert amounts(answers) == {"a": (1001, 100), "b": (2000, 100)}


async def test_a_base_fee_that_was_due_is_tried_on_the_days_that_an_early_end_leaves(
    world: World,
) -> None:
    charges = [a_charge("calls", "0.01")]
    await world.create_plan("ahead", charges, base="31", timing=Timing.IN_ADVANCE)
    await world.subscribe("a", plan="ahead")
    await world.announce(JANUARY)
    early = JANUARY + timedelta(days=10)
    await subscriptions.terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="a", end=early, now=JANUARY
    )
    answers = await simulate(world, candidate(base="62"))
    assert amounts(answers) == {"a": (1100, 2200)}


async def test_a_meter_whose_events_were_not_attributed_is_named(world: World) -> None:
    await world.create_meter("stored", Aggregation.COUNT)
    await extend(world, "a")
    await world.fold(an_event("a", JANUARY), an_event("a", JANUARY, type_="stored"))
    tried = candidate(a_charge("calls", "1"), a_charge("stored", "1"))
    known = candidate(a_charge("calls", "2"))
    period, subscription, last = (await simulate(world, tried, known, with_periods=True))[1:]
    for found in (period.period.after, subscription.subscription.after):
        assert [list(one.unmetered_codes) for one in found] == [["stored"], []]
    assert [one.unmetered_count for one in last.simulation.after] == [1, 0]


@pytest.mark.parametrize(
    ("currency", "unit", "reason"),
    [
        ("EUR", IntervalUnit.MONTH, "CURRENCY_MISMATCH"),
        ("USD", IntervalUnit.WEEK, "FIELD_INVALID"),
    ],
)
async def test_prices_of_another_currency_or_interval_are_refused(
    world: World, currency: str, unit: IntervalUnit, reason: str
) -> None:
    await extend(world, "a")
    tried = candidate(a_charge("calls", "1"), unit=unit)
    with pytest.raises(TallyError) as refused:
        await simulate(world, Candidate("Tried", currency, tried.version))
    assert refused.value.reason == reason
    assert "a " in str(refused.value)


async def test_merged_cells_cost_what_cells_by_day_cost(world: World) -> None:
    """For every aggregation: before is what RatePeriod says."""
    buckets = [a_bucket("eu", "region", ["eu"], "3")]
    for each in Aggregation:
        value = "" if each is Aggregation.COUNT else "value"
        await world.create_meter(f"m-{each}", each, value=value, dimensions=["region"])
    charges = [a_charge(f"m-{each}", "1", buckets=buckets) for each in Aggregation]
    await world.create_plan("all", charges)
    await world.subscribe("a", plan="all", now=MARCH)
    for place, (region, number) in enumerate([("eu", "7"), ("us", "3"), ("eu", "5"), ("", "7")]):
        at = JANUARY + timedelta(days=place)
        properties: dict[str, Any] = {"region": region, "value": number}
        await world.fold(
            *(an_event("a", at, type_=f"m-{each}", **properties) for each in Aggregation)
        )
    removed: dict[str, Any] = {"region": "eu", "value": "5", "operation_type": "remove"}
    end = JANUARY + timedelta(days=9)
    await world.fold(an_event("a", end, type_="m-unique_count", **removed))
    [period, *_] = await simulate(world, StoredVersion("all", 0), with_periods=True)
    rated = (await rating.rate_period(world.app, world, TENANT, await world.period_id("a"))).rated
    assert list(period.period.fees_before) == list(rated.fees)
    assert len(rated.fees) == 2 * len(Aggregation)


async def test_the_days_of_a_period_are_one_cell(world: World) -> None:
    await extend(world, "a")
    await world.fold(*(an_event("a", JANUARY + timedelta(days=n)) for n in range(20)))
    async with begin(world.app, TENANT) as conn:
        period = await load_period(conn, TENANT, await world.period_id("a"))
        meters = await load_meters(conn, TENANT, ["calls"])
        found = await load_merged_cells(conn, TENANT, [period], meters.values())
    [cell] = found[period.period_id][meters["calls"].meter_id]
    assert cell.event_count == 20


def test_every_column_of_a_cell_is_merged_or_of_a_meter_that_is_read_by_day() -> None:
    merged = {"dimensions", "event_count", "total", "greatest", "least", "amount", "last_time_us"}
    merged |= {"in_log"}
    of_latest = {f"latest{ending}" for ending in ("", "_time_us", "_shard", "_number", "_place")}
    of_the_fold = {"slice_number", "traceparent"}
    by_day = {*of_latest, "weighted"}
    assert set(cells.c.keys()) == {*CELL_KEY, *merged, *by_day, *of_the_fold}


async def test_instant_charges_are_tried_by_replaying_their_events(world: World) -> None:
    await world.create_meter("data", Aggregation.SUM, value="mb")
    await world.create_plan("data", [a_charge("data", "0.01")])
    await world.subscribe("acme", plan="data")
    days = (instant("2024-01-09"), instant("2024-01-05"), instant("2024-01-07"))
    for day, mb in zip(days, (3, 10, -4), strict=True):
        await world.fold(an_event("acme", day, type_="data", mb=Decimal(mb)))
    tried = replace(a_charge("data", "1"), instant=InstantTerms(Settle.EVENT))
    answers = await simulate(world, candidate(tried), end=FEBRUARY)
    assert amounts(answers) == {"acme": (9, 1000)}  # 10 were there before 4 went.


async def test_each_of_several_candidates_costs_what_it_costs_alone(world: World) -> None:
    """One charges events singly, one by days, one in tiers, and one a meter that it has alone."""
    await world.create_meter("seats", Aggregation.SUM, value="seats", recurring=True)
    await world.create_meter("data", Aggregation.SUM, value="mb")
    metered = [a_charge(code, "0.01") for code in ("calls", "seats", "data")]
    await world.create_plan("metered", metered)
    await world.create_plan("stored", [a_charge("calls", "0.07")], base="2")
    for customer in "ab":
        await world.subscribe(customer, plan="metered", now=MARCH)
        await world.fold(*[an_event(customer, JANUARY)] * 3, an_event(customer, FEBRUARY))
    half = instant("2024-01-17")  # The last 15 of 31 days.
    await world.fold(an_event("a", half, type_="seats", seats=Decimal(31)))
    data = [(instant("2024-01-09"), 3), (instant("2024-01-05"), 10), (instant("2024-01-07"), -4)]
    await world.fold(*(an_event("a", at, type_="data", mb=Decimal(mb)) for at, mb in data))
    tiers = (Tier(Decimal(2), Decimal(1), Decimal(0)), Tier(None, Decimal("0.5"), Decimal(0)))
    tried: list[Candidate | StoredVersion] = [
        candidate(replace(a_charge("data", "1"), instant=InstantTerms(Settle.EVENT))),
        candidate(replace(a_charge("seats", "1"), prorated=True)),
        StoredVersion("stored", 0),
        candidate(Charge("calls", "calls", "", GraduatedPrice(tiers), ()), a_charge("data", "1")),
    ]
    alone = [await simulate(world, one, with_periods=True) for one in tried]
    together = await simulate(world, *tried, with_periods=True)
    assert amounts(together) == {
        # 3 + 1 calls, 31 seats that stay and 9 MB; of instant data 10 were there before 4 went.
        "a": (4 + 31 + 31 + 9, 1000, 1500 + 3100, 400 + 28, 250 + 100 + 900),
        "b": (4, 0, 0, 400 + 28, 250 + 100),
    }
    for place, one in enumerate(together):
        named = one.WhichOneof("result")
        assert named is not None
        for each, found in enumerate(alone):
            apart = getattr(found[place], named)
            assert [getattr(one, named).after[each]] == list(apart.after)
            assert getattr(one, named).before == apart.before


async def test_usage_is_read_once_however_many_candidates_are_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await extend(world, "a")
    await world.fold(an_event("a", JANUARY))
    read = []

    async def counted(*args: Any, **options: Any) -> Any:
        read.append(args)
        return await load_merged_cells(*args, **options)

    monkeypatch.setattr(simulating, "load_merged_cells", counted)
    tried = [candidate(a_charge("calls", f"0.0{place}")) for place in range(10)]
    answers = await simulate(world, *tried)
    assert amounts(answers) == {"a": (1, *range(10))}
    assert len(read) == 1


async def test_candidates_that_cannot_stand_side_by_side_are_refused_all_at_once(
    world: World,
) -> None:
    await world.create_plan("other", [a_charge("calls", "1")])
    stored = candidate(a_charge("calls", "1"), base="1e20", unit=IntervalUnit.WEEK)
    with pytest.raises(FieldsInvalid) as refused:
        await simulate(
            world,
            StoredVersion("other", 0),
            Candidate("Tried", "EUR", candidate(a_charge("calls", "1")).version),
            StoredVersion("other", 1),
            stored,
            candidate(a_charge("calls", "1", buckets=[a_bucket("eu", "region", ["eu"], "3")])),
        )
    assert {fault.field for fault in refused.value.faults} == {
        "candidates[1]",
        "candidates[2]",
        "candidates[3]",
        "candidates[3].version.base_amount",
        "candidates[4].version.charges[0].buckets[0].filters[0].key",
    }
    with pytest.raises(MeterUnknown) as unknown:
        await simulate(world, StoredVersion("other", 0), candidate(a_charge("none", "1")))
    assert str(unknown.value).startswith("candidates[1].version.charges[0].meter_code: ")


async def test_every_candidate_that_is_not_there_is_named(world: World) -> None:
    await world.create_plan("other", [a_charge("calls", "1")])
    there, later = StoredVersion("other", 1), StoredVersion("other", 2)
    with pytest.raises(PlanNotFound) as refused:
        await simulate(world, StoredVersion("x", 0), there, later, StoredVersion("y", 1))
    assert str(refused.value) == (
        "candidates[0].plan_code: no plan x; candidates[3].plan_code: no plan y; "
        "candidates[2].plan_version: the plan other has no version 2"
    )
    with pytest.raises(PlanVersionNotFound):
        await simulate(world, there, later)
