"""A day of very many users costs what its events cost, and says so, through the public API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.rating.v1.meter_service_pb2 import (
    Aggregation,
    CreateMeterRequest,
    Dimension,
    Meter,
)
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    DimensionFilter,
    FilterBucket,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import subscribe
from tests.suite import Suite

USERS = 10_001  # One more than a day of a term and meter keeps apart.


def a_visit(user: int, at: datetime) -> Event:
    properties = {
        "user": PropertyValue(text=f"u{user}"),
        "region": PropertyValue(text="eu" if user % 2 else "us"),
    }
    return Event(
        id=str(uuid4()),
        type="visits",
        time=timestamp(at),
        customer_id="acme",
        properties=properties,
    )


async def test_a_day_of_very_many_users_is_priced_and_flagged(suite: Suite) -> None:
    cent, two = (Price(standard=StandardPrice(unit_amount=amount)) for amount in ("0.01", "0.02"))
    eu = FilterBucket(code="eu", filters=[DimensionFilter(key="region", values=["eu"])], price=two)
    now = datetime.now(UTC)
    async with suite.client(suite.new_tenant()) as client:
        meter = Meter(
            code="visits",
            aggregation=Aggregation.AGGREGATION_COUNT,
            dimensions=[Dimension(key="region"), Dimension(key="user")],
        )
        await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
        version = PlanVersion(
            interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH,
            charges=[Charge(meter_code="visits", price=cent, buckets=[eu])],
        )
        plan = Plan(code="pro", name="Pro", currency_code="USD")
        await client.plans.CreatePlan(
            CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
        )
        await subscribe(client, "acme", now - timedelta(minutes=5))
        visits = [a_visit(user, now) for user in range(USERS)]
        for part in (visits[: USERS - 1], visits[USERS - 1 :]):
            request = RecordEventsRequest(events=part)
            ack_token = (await client.ingest.RecordEvents(request)).ack_token
            asked = GetUsageRequest(subscription_id="acme-pro", ack_token=ack_token)
            found = await client.usage.GetUsage(asked)
            crowded = ["visits"] if len(part) == 1 else []
            assert list(found.high_cardinality_meter_codes) == crowded
    assert [(fee.filter_code, fee.units) for fee in found.fees] == [("eu", "5000"), ("", "5001")]
    assert found.amount.amount_minor == 2 * 5_000 + 5_001
