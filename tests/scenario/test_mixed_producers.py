"""Rows, columns and streams at once, of several tenants: usage is what was sent, once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import grpc

from cli.client import SuiteClient
from tally.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
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
from tests.producing import (
    CUSTOMERS,
    EVENT_TYPE,
    START,
    Content,
    Form,
    Memory,
    Producer,
    read_stored,
)
from tests.scenario.builders import subscribe
from tests.suite import Suite

TENANTS, ROUNDS = 2, 2  # Each producer sends 2 times 4 batches of 200 events.
METERS = {
    "count": Aggregation.AGGREGATION_COUNT,
    "sum": Aggregation.AGGREGATION_SUM,
    "unique": Aggregation.AGGREGATION_UNIQUE_COUNT,
}
PROPERTIES = {"count": "", "sum": "value", "unique": "user"}


async def test_usage_is_what_producers_of_all_forms_sent_once(suite: Suite) -> None:
    await suite.advance(START + timedelta(days=1))
    tenants = [suite.new_tenant() for _ in range(TENANTS)]
    await asyncio.gather(*(produce_and_compare(suite, tenant) for tenant in tenants))


async def produce_and_compare(suite: Suite, tenant: int) -> None:
    memory = Memory()
    channel = grpc.aio.insecure_channel(suite.stack.address("ingest"))
    token = (("authorization", f"Bearer {suite.token(tenant)}"),)
    async with suite.client(tenant) as client, channel:
        await sell_mixed(client)
        stub = IngestServiceStub(channel)
        producers = [
            Producer(memory, stub, form, random.Random(f"{tenant} {form}"), token) for form in Form
        ]
        await asyncio.gather(*(one.run(times(ROUNDS)) for one in producers))
        await suite.settle()
        assert not memory.refusals
        assert memory.conflicting
        stored = await read_stored(suite.database_url("ingest", "worker"), tenant)
        assert memory.compare(stored) == []
        assert len(stored) == len(memory.sent)
        for customer in {one.customer_id for one in memory.acknowledged.values()}:
            own = [one for one in memory.acknowledged.values() if one.customer_id == customer]
            assert await usage_of(client, customer) == expected(own)


def times(count: int) -> Callable[[], bool]:
    """Return what is true so many times."""
    left = iter(range(count))
    return lambda: next(left, None) is not None


async def sell_mixed(client: SuiteClient) -> None:
    """Sell every customer the three meters of what producers send."""
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
        await subscribe(client, f"customer-{number}", START)


async def usage_of(client: SuiteClient, customer: str) -> dict[str, Decimal]:
    """Return the units of each meter."""
    answer = await client.usage.GetUsage(GetUsageRequest(subscription_id=f"{customer}-pro"))
    return {fee.charge_code: Decimal(fee.units) for fee in answer.fees}


def expected(contents: Iterable[Content]) -> dict[str, Decimal]:
    """Compute the same from what was sent."""
    contents = list(contents)
    return {
        "count": Decimal(len(contents)),
        "sum": sum((one.value for one in contents), Decimal(0)),
        "unique": Decimal(len({one.user for one in contents})),
    }
