"""Events in, usage out: how many a second, and how long each waits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

import grpc

from cli.client import SuiteClient
from libs import testclock
from libs.wire import timestamp
from tally.ingest.v1.bulk_pb2 import RecordColumnsResponse
from tally.ingest.v1.event_pb2 import Verdict
from tally.ingest.v1.ingest_service_pb2 import RecordEventsResponse
from tally.rating.v1.meter_service_pb2 import CreateMeterRequest
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
)
from tally.rating.v1.subscription_service_pb2 import CreateSubscriptionRequest, Subscription
from tally.rating.v1.usage_service_pb2 import GetUsageRequest, GetUsageResponse
from tests.bench.workload import METERS, START, Workload, customer

SERVICE = "/tally.ingest.v1.IngestService/"
ROWS, COLUMNS = "RecordEvents", "RecordColumns"
IN_FLIGHT = 12  # Requests of 1,000 events.
DEADLINE_SECONDS = 60.0
MONTH_START = START.replace(day=1, hour=0)
POLL_SECONDS = 0.01
PROBE_SECONDS = 0.05  # Between two events whose way is watched.
CALLERS = 4

Recording = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Sent:
    """A run of requests, each with the seconds that its answer took."""

    seconds: float  # Until all of it was usage.
    acks: Sequence[float]
    answers: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from sending to the answer, and from there until GetUsage shows the event."""

    acks: Sequence[float]
    visible: Sequence[float]


async def prepare(
    client: SuiteClient, subscriptions: int, *, start: datetime = MONTH_START
) -> None:
    """Create five meters, a plan that charges them all, and its subscriptions from `start` on."""
    for meter in METERS:
        await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    price = Price(standard=StandardPrice(unit_amount="0.0001"))
    version = PlanVersion(
        interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH,
        charges=[Charge(meter_code=meter.code, price=price) for meter in METERS],
    )
    plan = Plan(code="usage", name="Usage", currency_code="USD")
    await client.plans.CreatePlan(
        CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    )
    numbers = deque(range(subscriptions))

    async def subscribe() -> None:
        while numbers:
            who = customer(numbers.popleft())
            wanted = Subscription(
                subscription_id=who,
                customer_id=who,
                plan_code="usage",
                start=timestamp(start),
            )
            await client.subscriptions.CreateSubscription(
                CreateSubscriptionRequest(request_id=str(uuid4()), subscription=wanted)
            )

    await asyncio.gather(*(subscribe() for _ in range(CALLERS)))


async def send_all(
    client: SuiteClient, internal: SuiteClient, requests: list[bytes], method: str = ROWS
) -> Sent:
    """Send `requests` of `method`, 12 at a time, and wait until all of it is usage."""
    record = recorder(client, method)
    waiting = deque(requests)
    acks: list[float] = []
    answers: list[bytes] = []

    async def caller() -> None:
        while waiting:
            request = waiting.popleft()
            sent = time.perf_counter()
            answers.append(await record(request, timeout=DEADLINE_SECONDS))
            acks.append(time.perf_counter() - sent)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    await testclock.settle(internal.clocks, deadline_seconds=int(DEADLINE_SECONDS))
    return Sent(time.perf_counter() - started, acks, answers)


async def watch_waits(
    client: SuiteClient, workload: Workload, requests: list[bytes], *, events_per_s: float
) -> Waits:
    """Send `requests` at a steady pace, whatever the answers take, and single events beside."""
    record = recorder(client)
    acks: list[float] = []
    started = time.perf_counter()

    async def send(request: bytes, due: float) -> None:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        await record(request, timeout=DEADLINE_SECONDS)
        acks.append(time.perf_counter() - due)  # Had it to wait for its turn, that counts too.

    pace = 1_000 / events_per_s
    sending = asyncio.gather(
        *(send(request, started + place * pace) for place, request in enumerate(requests))
    )
    visible = []
    number = 0
    while not sending.done():
        visible.append(await _watch_one(client, record, workload, customer(number)))
        number = (number + 1) % workload.customers
        await asyncio.sleep(PROBE_SECONDS)
    await sending
    return Waits(acks, visible)


async def settle_and_check(client: SuiteClient, internal: SuiteClient, workload: Workload) -> None:
    """Wait until all is usage, and check it. Raises what `check_usage` does."""
    await testclock.settle(internal.clocks, deadline_seconds=int(DEADLINE_SECONDS))
    await check_usage(client, workload)


async def check_usage(client: SuiteClient, workload: Workload) -> None:
    """Compare the usage of every customer with what the generator counted.

    Raises:
        AssertionError: the two differ.
    """
    for who, expected in workload.usage.items():
        found = await units_of(client, who)
        assert found == expected.units(), f"{who}: {found}, not {expected.units()}"


def check_verdicts(
    answers: Sequence[bytes], *, fresh: int, events: int, method: str = ROWS
) -> None:
    """Check that each event was accepted once and its repeats were not.

    Raises:
        AssertionError: they were not.
    """
    if method == COLUMNS:
        told = [RecordColumnsResponse.FromString(answer) for answer in answers]
        accepted = sum(one.accepted_count for one in told)
        repeated = sum(one.duplicate_count for one in told)
    else:
        verdicts = [
            judged.verdict
            for answer in answers
            for judged in RecordEventsResponse.FromString(answer).verdicts
        ]
        accepted = verdicts.count(Verdict.VERDICT_ACCEPTED)
        repeated = verdicts.count(Verdict.VERDICT_DUPLICATE)
    assert (accepted, repeated) == (fresh, events - fresh), (accepted, repeated, fresh, events)


async def _watch_one(client: SuiteClient, record: Recording, workload: Workload, who: str) -> float:
    """Send one event; return how long after its answer it can be seen."""
    before = (await units_of(client, who)).get("requests", Decimal(0))
    await record(workload.batch(1, of=who), timeout=DEADLINE_SECONDS)
    acked = time.perf_counter()
    # Others of the customer may come at the same time; then this one was seen no later.
    while (await units_of(client, who)).get("requests", Decimal(0)) == before:
        await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - acked


async def units_of(client: SuiteClient, who: str) -> dict[str, Decimal]:
    """Return a customer's units by meter."""
    asked = GetUsageRequest(subscription_id=who, at=timestamp(START))
    answer: GetUsageResponse = await client.usage.GetUsage(asked)
    return {fee.charge_code: Decimal(fee.units) for fee in answer.fees}


def recorder(client: SuiteClient, method: str = ROWS) -> Recording:
    """Return a method for requests that are serialized already; answers stay so."""
    recording: Recording = client.channels["ingest"].unary_unary(SERVICE + method)
    return recording
