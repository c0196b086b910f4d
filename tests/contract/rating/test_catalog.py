"""Meters and plans over gRPC: stored once, checked without storing, all faults at once."""

from __future__ import annotations

from uuid import uuid4

import grpc
import pytest

from cli.client import SuiteClient, refusal
from tally.ingest.v1.event_pb2 import PropertyValue
from tally.rating.v1.charge_options_pb2 import ConversionRounding, UnitConversion
from tally.rating.v1.meter_service_pb2 import (
    Aggregation,
    CreateMeterRequest,
    DayBucket,
    Dimension,
    EvaluateExpressionRequest,
    ExpressionFailureCause,
    GetMeterRequest,
    ListMetersRequest,
    Meter,
    Rounding,
    RoundingMode,
    ValueInput,
)
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    CreatePlanVersionRequest,
    DimensionFilter,
    FilterBucket,
    GetPlanRequest,
    IntervalUnit,
    ListPlansRequest,
    PackagePrice,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
    Timing,
)
from tally.rating.v1.price_models_pb2 import (
    CustomPrice,
    DynamicPrice,
    GraduatedPercentagePrice,
    PercentagePrice,
    RateTier,
)
from tests.suite import Suite

COUNT, SUM = Aggregation.AGGREGATION_COUNT, Aggregation.AGGREGATION_SUM
MONTH = IntervalUnit.INTERVAL_UNIT_MONTH
CENT = Price(standard=StandardPrice(unit_amount="0.01"))


def meter_request(code: str = "calls", *, validate_only: bool = False) -> CreateMeterRequest:
    meter = Meter(code=code, aggregation=COUNT, dimensions=[Dimension(key="region")])
    return CreateMeterRequest(request_id=str(uuid4()), meter=meter, validate_only=validate_only)


def plan_request(*charges: Charge, code: str = "pro") -> CreatePlanRequest:
    version = PlanVersion(interval_unit=MONTH, interval_count=1, charges=charges)
    plan = Plan(code=code, name="Pro", currency_code="USD")
    return CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)


async def test_a_repeated_request_gets_its_first_answer(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        request = meter_request()
        first = await client.meters.CreateMeter(request)
        assert await client.meters.CreateMeter(request) == first
        request.meter.name = "Other"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.meters.CreateMeter(request)
        assert refusal(refused.value).reason == "REQUEST_ID_REUSED"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.meters.CreateMeter(meter_request())
        assert refusal(refused.value).reason == "METER_CODE_TAKEN"


async def test_what_is_only_checked_is_not_stored(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        await client.meters.CreateMeter(meter_request(validate_only=True))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.meters.GetMeter(GetMeterRequest(code="calls"))
        assert refusal(refused.value).reason == "METER_NOT_FOUND"
        await client.meters.CreateMeter(meter_request())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.meters.CreateMeter(meter_request(validate_only=True))
        assert refusal(refused.value).reason == "METER_CODE_TAKEN"


async def test_a_meter_comes_back_as_it_was_sent(suite: Suite) -> None:
    meters = [
        Meter(
            code="gb",
            name="GB",
            event_type="read",
            aggregation=Aggregation.AGGREGATION_WEIGHTED_SUM,
            expression="event.properties.bytes / 1e9",
            rounding=Rounding(mode=RoundingMode.ROUNDING_MODE_FLOOR, places=-2),
            value_input=ValueInput.VALUE_INPUT_LEVEL,
            recurring=True,
        ),
        Meter(
            code="slow",
            name="Slow",
            event_type="read",
            aggregation=Aggregation.AGGREGATION_PERCENTILE,
            value_property="ms",
            percentile=95,
            day_bucket=DayBucket.DAY_BUCKET_MAX,
            fan_out=True,
        ),
    ]
    async with suite.client(suite.new_tenant()) as client:
        for meter in meters:
            await client.meters.CreateMeter(
                CreateMeterRequest(request_id=str(uuid4()), meter=meter)
            )
            found = (await client.meters.GetMeter(GetMeterRequest(code=meter.code))).meter
            for name in ("meter_id", "created_at"):
                found.ClearField(name)
            assert found == meter


async def test_an_expression_is_tried_on_an_event(suite: Suite) -> None:
    text = (
        "if(event.properties.n > 1, event.properties.n / 3, concat(event.type, event.properties.a))"
    )
    properties = {"n": PropertyValue(decimal="10"), "a": PropertyValue(flag=True)}
    asked = EvaluateExpressionRequest(expression=text, event_type="read", properties=properties)
    async with suite.client(suite.new_tenant()) as client:
        answer = await client.meters.EvaluateExpression(asked)
        assert answer.number == "3.333333333333333333333333333333"
        asked.properties["n"].decimal = "1"
        assert (await client.meters.EvaluateExpression(asked)).text == "readtrue"
        del asked.properties["a"]
        failure = (await client.meters.EvaluateExpression(asked)).failure
        cause = ExpressionFailureCause.EXPRESSION_FAILURE_CAUSE_PROPERTY_MISSING
        assert (failure.cause, failure.position) == (cause, text.index("event.properties.a") + 1)
        assert failure.problem == "the event has no property a"


async def test_lists_page_by_code(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        for code in ("c", "a", "b"):
            await client.meters.CreateMeter(meter_request(code))
            await client.plans.CreatePlan(plan_request(code=code))
        meters = await client.meters.ListMeters(ListMetersRequest(page_size=2))
        rest = await client.meters.ListMeters(ListMetersRequest(page_token=meters.next_page_token))
        assert [[one.code for one in page.meters] for page in (meters, rest)] == [["a", "b"], ["c"]]
        plans = await client.plans.ListPlans(ListPlansRequest(page_size=2))
        last = await client.plans.ListPlans(ListPlansRequest(page_token=plans.next_page_token))
        pages = [[one.plan.code for one in page.plans] for page in (plans, last)]
        assert pages == [["a", "b"], ["c"]]
        assert not rest.next_page_token and not last.next_page_token


async def test_a_plan_comes_back_as_it_was_sent(suite: Suite) -> None:
    tiers = [Tier(up_to="10", unit_amount="1.5", flat_amount="2"), Tier(unit_amount="0.5")]
    charges = [
        Charge(code="a", meter_code="calls", display_name="Calls", price=CENT),
        Charge(
            code="b",
            meter_code="calls",
            price=Price(
                package=PackagePrice(amount="5", package_size="1000", free_units="0"),
            ),
            buckets=[
                FilterBucket(
                    code="eu",
                    filters=[DimensionFilter(key="region", values=["de", "fr"])],
                    price=Price(volume=TieredPrice(tiers=tiers)),
                )
            ],
        ),
    ]
    async with suite.client(suite.new_tenant()) as client:
        await client.meters.CreateMeter(meter_request())
        request = plan_request(*charges)
        request.version.base_amount = "99.5"
        request.version.base_timing = Timing.TIMING_IN_ADVANCE
        created = await client.plans.CreatePlan(request)
        found = await client.plans.GetPlan(GetPlanRequest(code="pro"))
        assert (found.plan, found.version) == (created.plan, created.version)
        assert [one.code for one in found.version.charges] == ["a", "b"]
        [bucket] = found.version.charges[1].buckets
        assert [tier.up_to for tier in bucket.price.volume.tiers] == ["10", ""]
        assert (found.version.base_amount, found.version.version) == ("99.5", 1)


async def test_every_model_and_option_of_a_charge_comes_back_as_it_was_sent(suite: Suite) -> None:
    tiers = [Tier(up_to="10", unit_amount="1.5", flat_amount="2", flat_cap="9"), Tier()]
    each = PercentagePrice(
        rate_percent="1.50",
        fixed_amount="0.1",
        free_events=3,
        free_amount="20",
        event_minimum="0.2",
        event_maximum="4",
    )
    rates = [RateTier(up_to="10", rate_percent="2", flat_amount="1"), RateTier(rate_percent="1")]
    prices = [
        Price(graduated=TieredPrice(tiers=tiers)),
        Price(percentage=each),
        Price(graduated_percentage=GraduatedPercentagePrice(tiers=rates)),
        Price(dynamic=DynamicPrice(multiplier="1.1")),
        Price(custom=CustomPrice(expression="units * 2")),
    ]
    charges = [Charge(code=f"c{n}", meter_code="calls", price=p) for n, p in enumerate(prices)]
    whole = UnitConversion(
        multiplier="3", divisor="1024", rounding=ConversionRounding.CONVERSION_ROUNDING_HALF_UP
    )
    charges[0].conversion.CopyFrom(whole)
    charges[0].usage_discount = "5"
    charges[0].percentage_discount = "12.5"
    charges[0].maximum_amount = "99"
    charges[0].minimum_amount = "1"
    charges[0].group_by[:] = ["region"]
    async with suite.client(suite.new_tenant()) as client:
        await client.meters.CreateMeter(meter_request())
        created = await client.plans.CreatePlan(plan_request(*charges))
        found = await client.plans.GetPlan(GetPlanRequest(code="pro"))
    assert found.version == created.version
    charges[1].price.percentage.rate_percent = "1.5"  # Decimals are answered in canonical form.
    for message in (
        charges[0].price.graduated.tiers[1],
        charges[2].price.graduated_percentage.tiers[1],
    ):
        message.flat_amount = "0"
    charges[0].price.graduated.tiers[1].unit_amount = "0"
    assert list(found.version.charges) == charges


async def test_versions_are_numbered_and_stay(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        await client.meters.CreateMeter(meter_request())
        await client.plans.CreatePlan(plan_request(Charge(meter_code="calls", price=CENT)))
        version = PlanVersion(
            interval_unit=MONTH, base_amount="1", base_timing=Timing.TIMING_IN_ARREARS
        )
        for number in (2, 3):
            added = await client.plans.CreatePlanVersion(
                CreatePlanVersionRequest(request_id=str(uuid4()), plan_code="pro", version=version)
            )
            assert added.version.version == number
        first = await client.plans.GetPlan(GetPlanRequest(code="pro", version=1))
        assert first.version.charges and not first.version.base_amount
        newest = await client.plans.GetPlan(GetPlanRequest(code="pro"))
        assert newest.version.version == 3


async def test_every_fault_of_a_plan_is_told_at_once(suite: Suite) -> None:
    bad = Price(standard=StandardPrice(unit_amount="-1"))
    descending = TieredPrice(tiers=[Tier(up_to="5"), Tier(up_to="5"), Tier()])
    request = plan_request(
        Charge(meter_code="calls", price=bad),
        Charge(meter_code="calls", price=Price(graduated=descending)),
        Charge(code="x", meter_code="calls"),
    )
    request.plan.currency_code = "usd"
    request.version.interval_unit = IntervalUnit.INTERVAL_UNIT_UNSPECIFIED
    async with suite.client(suite.new_tenant()) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.plans.CreatePlan(request)
    assert set(refusal(refused.value).fields) == {
        "plan.currency_code",
        "version.interval_unit",
        "version.charges[0].price.standard.unit_amount",
        "version.charges[1].price.graduated.tiers[1].up_to",
        "version.charges[1].code",
        "version.charges[2].price",
    }


async def test_a_charge_fits_its_meter(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.plans.CreatePlan(plan_request(Charge(meter_code="calls", price=CENT)))
        assert refusal(refused.value).reason == "METER_UNKNOWN"
        await client.meters.CreateMeter(meter_request())
        colours = DimensionFilter(key="colour", values=["red"])
        bucket = FilterBucket(code="red", filters=[colours], price=CENT)
        request = plan_request(Charge(meter_code="calls", price=CENT, buckets=[bucket]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.plans.CreatePlan(request)
        path = "version.charges[0].buckets[0].filters[0].key"
        assert list(refusal(refused.value).fields) == [path]


async def test_seats_are_priced_by_what_is_there_and_not_by_events(suite: Suite) -> None:
    seats = meter_request("seats")
    seats.meter.MergeFrom(Meter(aggregation=SUM, value_property="n", recurring=True))
    prices = {
        "percentage": Price(percentage=PercentagePrice(rate_percent="1")),
        "dynamic": Price(dynamic=DynamicPrice()),
        "volume": Price(volume=TieredPrice(tiers=[Tier(unit_amount="1")])),
    }
    charges = [
        Charge(code=name, meter_code="seats", price=price, pay_in_advance=True)
        for name, price in prices.items()
    ]
    async with suite.client(suite.new_tenant()) as client:
        await client.meters.CreateMeter(seats)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.plans.CreatePlan(plan_request(*charges))
        paths = [f"version.charges[{place}].price.{name}" for place, name in enumerate(prices)]
        assert list(refusal(refused.value).fields) == paths
        sold = Charge(meter_code="seats", price=CENT, pay_in_advance=True, prorated=True)
        answer = await client.plans.CreatePlan(plan_request(sold))
        assert (answer.version.charges[0].pay_in_advance, answer.version.charges[0].prorated) == (
            True,
            True,
        )


async def test_a_token_needs_the_scope_of_the_method(suite: Suite) -> None:
    client: SuiteClient
    async with suite.client(suite.new_tenant(), scopes=["catalog:read"]) as client:
        assert not (await client.meters.ListMeters(ListMetersRequest())).meters
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.meters.CreateMeter(meter_request())
        assert refusal(refused.value).metadata == {"scope": "catalog:write"}


async def test_a_page_of_large_meters_is_cut_to_what_a_client_takes(suite: Suite) -> None:
    """Fourteen meters of 250 KiB: an answer holds twelve."""
    codes = [f"m{number:02}" for number in range(14)]
    async with suite.client(suite.new_tenant()) as client:
        for code in codes:
            request = meter_request(code)
            request.meter.dimensions[0].values[:] = [f"{n:01000}" for n in range(250)]
            await client.meters.CreateMeter(request)
        first = await client.meters.ListMeters(ListMetersRequest())
        rest = await client.meters.ListMeters(ListMetersRequest(page_token=first.next_page_token))
    assert [meter.code for meter in first.meters] == codes[:12]
    assert [meter.code for meter in rest.meters] == codes[12:]
    assert rest.next_page_token == ""
