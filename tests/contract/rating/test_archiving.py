"""Changing and archiving meters and plans over gRPC."""

from __future__ import annotations

from uuid import uuid4

import grpc
import pytest

from cli.client import SuiteClient, refusal
from tally.rating.v1.meter_service_pb2 import (
    Aggregation,
    ArchiveMeterRequest,
    CreateMeterRequest,
    Dimension,
    GetMeterRequest,
    ListMetersRequest,
    Meter,
    UpdateMeterRequest,
)
from tally.rating.v1.plan_service_pb2 import (
    ArchivePlanRequest,
    Charge,
    CreatePlanRequest,
    CreatePlanVersionRequest,
    IntervalUnit,
    ListPlansRequest,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
)
from tally.rating.v1.subscription_service_pb2 import CreateSubscriptionRequest, Subscription
from tests.suite import Suite

CALLS = Meter(
    code="calls",
    aggregation=Aggregation.AGGREGATION_COUNT,
    dimensions=[Dimension(key="region", values=["eu"])],
)
CHARGE = Charge(meter_code="calls", price=Price(standard=StandardPrice(unit_amount="1")))
CHARGED = PlanVersion(
    interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, interval_count=1, charges=[CHARGE]
)


def key() -> str:
    return str(uuid4())


async def create_meter(client: SuiteClient) -> Meter:
    request = CreateMeterRequest(request_id=key(), meter=CALLS)
    return (await client.meters.CreateMeter(request)).meter


async def create_plan(client: SuiteClient) -> None:
    plan = Plan(code="pro", currency_code="USD")
    await client.plans.CreatePlan(CreatePlanRequest(request_id=key(), plan=plan, version=CHARGED))


async def subscribe(client: SuiteClient, name: str) -> None:
    wanted = Subscription(subscription_id=name, customer_id=name, plan_code="pro")
    await client.subscriptions.CreateSubscription(
        CreateSubscriptionRequest(request_id=key(), subscription=wanted)
    )


async def update(client: SuiteClient, meter: Meter) -> Meter:
    request = UpdateMeterRequest(request_id=key(), meter=meter)
    return (await client.meters.UpdateMeter(request)).meter


async def test_a_meter_changes_as_a_whole_until_a_plan_charges_it(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        created = await create_meter(client)
        wanted = Meter(code="calls", aggregation=Aggregation.AGGREGATION_MAX, value_property="v")
        changed = await update(client, wanted)
        assert (changed.meter_id, changed.created_at) == (created.meter_id, created.created_at)
        assert changed.aggregation == Aggregation.AGGREGATION_MAX and not changed.dimensions
        assert (await client.meters.GetMeter(GetMeterRequest(code="calls"))).meter == changed
        await create_plan(client)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await update(client, CALLS)
        refused = refusal(caught.value)
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "METER_IN_USE")
        fields = "meter.aggregation, meter.value_property, meter.dimensions"
        assert refused.metadata["fields"] == fields
        wanted.name = "Peak"
        assert (await update(client, wanted)).name == "Peak"


async def test_an_archived_meter_is_listed_on_demand_and_keeps_its_code(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        await create_meter(client)
        first = await client.meters.ArchiveMeter(
            ArchiveMeterRequest(request_id=key(), code="calls")
        )
        assert first.meter.HasField("archived_at")
        again = await client.meters.ArchiveMeter(
            ArchiveMeterRequest(request_id=key(), code="calls")
        )
        assert again == first
        assert not (await client.meters.ListMeters(ListMetersRequest())).meters
        every = await client.meters.ListMeters(ListMetersRequest(include_archived=True))
        assert list(every.meters) == [first.meter]
        for refused_by, reason in (
            (create_meter(client), "METER_CODE_TAKEN"),
            (create_plan(client), "METER_ARCHIVED"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await refused_by
            assert refusal(caught.value).reason == reason


async def test_an_archived_plan_is_listed_on_demand_and_takes_nothing_new(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        await create_meter(client)
        await create_plan(client)
        await subscribe(client, "before")
        archived = await client.plans.ArchivePlan(ArchivePlanRequest(request_id=key(), code="pro"))
        assert archived.plan.HasField("archived_at")
        again = await client.plans.ArchivePlan(ArchivePlanRequest(request_id=key(), code="pro"))
        assert again == archived
        assert not (await client.plans.ListPlans(ListPlansRequest())).plans
        every = await client.plans.ListPlans(ListPlansRequest(include_archived=True))
        assert [one.plan for one in every.plans] == [archived.plan]
        version = CreatePlanVersionRequest(request_id=key(), plan_code="pro", version=CHARGED)
        for refused_by in (client.plans.CreatePlanVersion(version), subscribe(client, "after")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await refused_by
            assert refusal(caught.value).reason == "PLAN_ARCHIVED"
