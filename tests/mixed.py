"""Meters for what the producers of all forms send, and what they must come to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

from cli.client import SuiteClient
from libs.wire import timestamp
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.producing import CUSTOMERS, EVENT_TYPE, Content
from tests.scenario.builders import subscribe

METERS = {
    "count": Aggregation.AGGREGATION_COUNT,
    "sum": Aggregation.AGGREGATION_SUM,
    "unique": Aggregation.AGGREGATION_UNIQUE_COUNT,
}
PROPERTIES = {"count": "", "sum": "value", "unique": "user"}


async def sell_mixed(client: SuiteClient, start: datetime) -> None:
    """Sell every customer the three meters of what producers send, from `start` on."""
    for code, aggregation in METERS.items():
        meter = Meter(
            code=code,
            event_type=EVENT_TYPE,
            aggregation=aggregation,
            value_property=PROPERTIES[code],
        )
        await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    cent = Price(standard=StandardPrice(unit_amount="0.01"))
    version = PlanVersion(
        interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH,
        charges=[Charge(meter_code=code, price=cent) for code in METERS],
    )
    plan = Plan(code="pro", name="Pro", currency_code="USD")
    await client.plans.CreatePlan(
        CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    )
    for number in range(CUSTOMERS):
        await subscribe(client, f"customer-{number}", start)


async def usage_of(
    client: SuiteClient, customer: str, at: datetime | None = None
) -> dict[str, Decimal]:
    """Return the units of each meter, in the period of now or of `at`."""
    request = GetUsageRequest(subscription_id=f"{customer}-pro", at=timestamp(at) if at else None)
    answer = await client.usage.GetUsage(request)
    return {fee.charge_code: Decimal(fee.units) for fee in answer.fees}


def expected(contents: Iterable[Content]) -> dict[str, Decimal]:
    """Compute the same from what was sent."""
    contents = list(contents)
    return {
        "count": Decimal(len(contents)),
        "sum": sum((one.value for one in contents), Decimal(0)),
        "unique": Decimal(len({one.user for one in contents})),
    }
