"""Trying prices and events before they are real: simulation, preview and estimate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest

from cli.client import Refusal, SuiteClient, refusal
from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanVersionRequest,
    IntervalUnit,
    PackagePrice,
    PlanVersion,
    PreviewPriceRequest,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
    Timing,
)
from tally.rating.v1.price_models_pb2 import PreviewedUnits
from tally.rating.v1.rating_service_pb2 import (
    CandidatePlan,
    SimulatePlanRequest,
    SimulatePlanResponse,
)
from tally.rating.v1.usage_service_pb2 import (
    EstimateEventsRequest,
    ExplainEventRequest,
    GetUsageRequest,
    ListAmbiguousRequest,
    ListUnattributedRequest,
)
from tests.scenario.builders import invoices, record, retract, sell, subscribe, usage
from tests.suite import Suite

JAN_1, FEB_1 = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
BILLED = timedelta(minutes=11)
COUNT = Aggregation.AGGREGATION_COUNT
TIERS = TieredPrice(
    tiers=[Tier(up_to="10", unit_amount="1", flat_amount="2"), Tier(unit_amount="0.5")]
)


async def test_an_estimate_is_what_usage_then_shows(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, price=Price(graduated=TIERS))
        await subscribe(client, "acme", JAN_1)
        await record(client, [usage("acme", JAN_1, "8")])
        await suite.settle()
        batch = [usage("acme", JAN_1, "4"), usage("acme", JAN_1, "3"), usage("other", JAN_1)]
        estimated = await client.usage.EstimateEvents(EstimateEventsRequest(events=batch))
        [acme] = estimated.usage
        assert list(estimated.unattributed) == [2]
        # 8 of the first ten cost 2 + 8; 15 cost 2 + 10 + 5 x 0.5.
        assert (acme.before.amount_minor, acme.after.amount_minor) == (1000, 1450)
        [difference] = acme.differences
        assert (difference.units, difference.amount.amount_minor) == ("7", 450)

        await record(client, batch)
        await suite.settle()
        now = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
        assert now.amount == acme.after
        assert list(now.fees[0].breakdown) == list(difference.breakdown)[:-1]


async def test_an_event_tells_whose_usage_it_is_and_what_meters_read_in_it(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, price=Price(graduated=TIERS))
        await subscribe(client, "acme", JAN_1)
        good, bad, stray = (usage(who, JAN_1, "8") for who in ("acme", "acme", "nobody"))
        bad.properties["value"].text = "eight"
        await record(client, [good, bad, stray])
        await suite.settle()
        told = [
            await client.usage.ExplainEvent(ExplainEventRequest(id=each.id))
            for each in (good, bad, stray)
        ]
        assert [one.applied for one in told] == [True, True, True]
        assert [one.subscription_id for one in told] == ["acme-pro", "acme-pro", ""]
        [counted], [missed], [_] = (one.readings for one in told)
        assert (counted.counted, counted.value, counted.problem) == (True, "8", "")
        assert (missed.counted, missed.value) == (False, "")
        assert "'eight'" in missed.problem
        assert (told[0].day.year, told[0].day.month, told[0].day.day) == (2026, 1, 1)
        assert not told[2].HasField("day")
        nobodys = await client.usage.ListUnattributed(ListUnattributedRequest())
        assert [(one.customer_id, one.event_type, one.event_count) for one in nobodys.counts] == [
            ("nobody", "calls", 1)
        ]

        await retract(client, good)
        await suite.settle()
        gone = await client.usage.ExplainEvent(ExplainEventRequest(id=good.id))
        assert (gone.event.retracted, gone.applied, gone.subscription_id) == (True, True, "")


async def test_a_fanned_out_meter_counts_for_all_and_others_for_one_that_is_told(
    suite: Suite,
) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        seats = Meter(code="seats", event_type="calls", aggregation=COUNT, fan_out=True)
        await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=seats))
        prices = {"calls": "0.01", "seats": "1"}
        charges = [
            Charge(meter_code=code, price=Price(standard=StandardPrice(unit_amount=price)))
            for code, price in prices.items()
        ]
        version = PlanVersion(interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, charges=charges)
        await client.plans.CreatePlanVersion(
            CreatePlanVersionRequest(request_id=str(uuid4()), plan_code="pro", version=version)
        )
        await subscribe(client, "acme", JAN_1, subscription_id="one")
        await subscribe(client, "acme", JAN_1 + timedelta(minutes=1), subscription_id="two")
        event = usage("acme", JAN_1 + timedelta(minutes=2), "5")
        assert await record(client, [event]) == ["ACCEPTED"]
        await suite.settle()
        costs = {}
        for name in ("one", "two"):
            asked = GetUsageRequest(subscription_id=name, at=event.time)
            found = await client.usage.GetUsage(asked)
            costs[name] = {fee.charge_code: fee.amount.amount_minor for fee in found.fees}
        assert costs == {"one": {"calls": 5, "seats": 100}, "two": {"seats": 100}}
        [count] = (await client.usage.ListAmbiguous(ListAmbiguousRequest())).counts
        assert (count.event_type, count.subscription_id, count.event_count) == ("calls", "one", 1)
        told = await client.usage.ExplainEvent(ExplainEventRequest(id=event.id))
        assert (told.subscription_id, told.ambiguous) == ("one", True)
        assert [other.subscription_id for other in told.fanned_out] == ["two"]


async def test_what_cannot_be_simulated_is_refused_by_field(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        wrong = SimulatePlanRequest(
            candidates=[
                CandidatePlan(plan_code="a b", plan_version=-1, currency_code="USD"),
                CandidatePlan(plan_code="pro", plan_version=1),
                CandidatePlan(plan_code="pro", plan_version=1),
                CandidatePlan(plan_code="pro", version=PlanVersion()),
            ],
            customer_ids=["acme", "acme", ""],
            on_plan_code="?",
            end=timestamp(FEB_1),
        )
        wrong.start.nanos = 1
        assert (await _refused(client, wrong)).fields.keys() == {
            "candidates[0].plan_code",
            "candidates[0].plan_version",
            "candidates[0].currency_code",
            "candidates[2]",
            "candidates[3].plan_code",
            "candidates[3].currency_code",
            "candidates[3].version.interval_unit",
            "customer_ids[1]",
            "customer_ids[2]",
            "on_plan_code",
            "start",
            "end",
        }
        for count in (0, 11):
            numbered = [CandidatePlan(plan_code=f"plan-{place}") for place in range(count)]
            wrong = SimulatePlanRequest(candidates=numbered, customer_ids=["x"] * 1001)
            named = (await _refused(client, wrong)).fields.keys()
            assert named == {"candidates", "customer_ids", "start"}
        none = [CandidatePlan(plan_code="none")]
        unknown = SimulatePlanRequest(candidates=none, start=timestamp(JAN_1))
        assert (await _refused(client, unknown)).reason == "PLAN_NOT_FOUND"
    async with suite.client(suite.new_tenant(), scopes=["catalog:read"]) as client:
        assert (await _refused(client, unknown)).reason == "SCOPE_MISSING"


async def test_each_model_is_previewed_by_units_and_by_events(suite: Suite) -> None:
    meter = Meter(code="calls", aggregation=Aggregation.AGGREGATION_SUM, value_property="value")
    events = [Event(properties={"value": PropertyValue(decimal=each)}) for each in ("7", "5")]
    prices = {
        100: Price(standard=StandardPrice(unit_amount="0.0833333")),
        300: Price(package=PackagePrice(amount="1", package_size="5")),
        1300: Price(graduated=TIERS),
        600: Price(volume=TIERS),
    }
    async with suite.client(suite.new_tenant()) as client:
        for cents, price in prices.items():
            charge = Charge(meter_code="calls", price=price)
            asked = PreviewPriceRequest(charge=charge, currency_code="USD")
            asked.units.CopyFrom(PreviewedUnits(units="12", event_count=2))
            counted = await client.plans.PreviewPrice(asked)
            asked = PreviewPriceRequest(
                charge=charge, currency_code="USD", meter=meter, events=events
            )
            sent = await client.plans.PreviewPrice(asked)
            assert counted.amount.amount_minor == sent.amount.amount_minor == cents
            assert list(counted.fees[0].breakdown) == list(sent.fees[0].breakdown)
            assert sent.fees[0].event_count == 2


async def test_another_plan_is_tried_on_a_closed_month(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        for customer in ("acme", "zeta"):
            await subscribe(client, customer, JAN_1)
        await record(client, [usage("acme", JAN_1 + timedelta(hours=1), "150")])
        await record(client, [usage("zeta", JAN_1 + timedelta(hours=1), "12")])
        await suite.advance(FEB_1 + BILLED)
        billed = {one.customer_id: one.total_minor for one in await invoices(client)}
        version = PlanVersion(
            interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH,
            base_amount="10",
            base_timing=Timing.TIMING_IN_ARREARS,
            charges=[Charge(meter_code="calls", price=Price(graduated=TIERS))],
        )
        candidates = [
            CandidatePlan(version=version, currency_code="USD"),
            CandidatePlan(plan_code="pro", plan_version=1),
        ]
        tried = SimulatePlanRequest(candidates=candidates, start=timestamp(JAN_1))
        answers = await _simulate(client, tried)
        found = {one.subscription.customer_id: one.subscription for one in answers[:-1]}
        assert {who: one.before.amount_minor for who, one in found.items()} == billed
        # 10 a month, 2 + 10 for the first ten, and half a dollar for each of the rest.
        for who, cents in {"acme": 9200, "zeta": 2300}.items():
            after = [one.amount.amount_minor for one in found[who].after]
            assert after == [cents, billed[who]]
        assert [one.closed_count for one in found.values()] == [1, 1]
        whole = answers[-1].simulation
        assert whole.before.amount_minor == 162
        assert [one.amount.amount_minor for one in whole.after] == [11500, 162]

        only = SimulatePlanRequest(
            candidates=[CandidatePlan(plan_code="pro")],
            customer_ids=["zeta"],
            start=timestamp(JAN_1),
            with_periods=True,
        )
        period, subscription, _ = await _simulate(client, only)
        [tried_period], [tried_whole] = period.period.after, subscription.subscription.after
        assert period.period.before == tried_period.amount == tried_whole.amount
        assert [fee.units for fee in tried_period.fees] == ["12"]


async def _simulate(
    client: SuiteClient, request: SimulatePlanRequest
) -> list[SimulatePlanResponse]:
    return [answer async for answer in client.rating.SimulatePlan(request)]


async def _refused(client: SuiteClient, request: SimulatePlanRequest) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await _simulate(client, request)
    return refusal(error.value)
