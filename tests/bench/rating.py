"""Rating with a million cells: trying two plans on a million events, reading usage, memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from cli.client import SuiteClient
from deploy.embedded.stack import Stack
from libs import testclock
from libs.wire import timestamp
from tally.internal.v1.test_clock_service_pb2 import SetTimeRequest
from tally.rating.v1.meter_service_pb2 import GetMeterRequest
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    DimensionFilter,
    FilterBucket,
    IntervalUnit,
    PackagePrice,
    PlanVersion,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
)
from tally.rating.v1.rating_service_pb2 import CandidatePlan, SimulatePlanRequest
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.bench import machine, pipeline
from tests.bench.workload import METERS, MODELS, Workload, customer

CUSTOMERS = 1_000
APRIL, MAY = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
FIRST_NOON = APRIL + timedelta(hours=12)
DAY_BATCHES = 34  # Of 1,000 events; a month of such days has a bit over a million.
DAYS = 55  # All of April and the first days of May: a million cells.
APRIL_DAYS = 30
READS = 600
LATER_BATCHES = 20
SETTLE_SECONDS = 120.0
SIMULATION_SECONDS = 120.0
TIERS = TieredPrice(
    tiers=[
        Tier(up_to="100", unit_amount="0.001", flat_amount="1"),
        Tier(up_to="10000", unit_amount="0.0005"),
        Tier(unit_amount="0.0001"),
    ]
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What rating took with a million cells; the seconds are those of trying both plans."""

    cell_count: int
    backtest_s: float
    get_usage_ms: list[float]
    pk_read_ms: list[float]
    peak_mib: int


async def measure(
    stack: Stack, client: SuiteClient, internal: SuiteClient, *, tenant: int
) -> Figures:
    """Fill the tenant of `client`, who has nothing yet, and measure; the clock moves to May."""
    for clock in internal.clocks.values():
        await clock.SetTime(SetTimeRequest(now=timestamp(FIRST_NOON)))
    await pipeline.prepare(client, CUSTOMERS, start=APRIL)
    workload = Workload(CUSTOMERS, seed=4, now=FIRST_NOON)
    await pipeline.send_all(client, internal, workload.batches(DAY_BATCHES, duplicates=0))
    cell_count = await _repeat_days(stack, tenant)
    for clock in internal.clocks.values():
        # The month has ended, and is not billed before the collection delay is over.
        await clock.SetTime(SetTimeRequest(now=timestamp(MAY + timedelta(seconds=1))))
    await testclock.settle(internal.clocks, deadline_seconds=SETTLE_SECONDS)
    backtest = await _simulate(client, _versions())
    usage, pk = await _read_in_turns(client)
    later = Workload(CUSTOMERS, seed=5, now=MAY + timedelta(seconds=1))
    await pipeline.send_all(client, internal, later.batches(LATER_BATCHES))
    rating = stack.process("rating")
    assert rating is not None
    return Figures(cell_count, backtest, usage, pk, machine.peak_mib(rating.pid))


async def _repeat_days(stack: Stack, tenant: int) -> int:
    """Give the tenant the cells of its first day on all other days, too; return how many it has.

    They are what as many events would have left, without the half hour of sending them.
    """
    urls = (stack.url("rating", role).replace("+asyncpg", "") for role in ("worker", "owner"))
    worker, owner = [await asyncpg.connect(url) for url in urls]
    for table in ("cells", "cell_values"):
        found = await worker.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = $1", table
        )
        names = [row["column_name"] for row in found]
        shifted = ["day + shift" if name == "day" else name for name in names]
        await worker.execute(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(shifted)}"
            f" FROM {table}, generate_series(1, {DAYS - 1}) AS shift WHERE tenant = {tenant}"
        )
        await owner.execute(f"VACUUM ANALYZE {table}")
    counted = await worker.fetchval("SELECT count(*) FROM cells WHERE tenant = $1", tenant)
    await asyncio.gather(worker.close(), owner.close())
    return int(counted)


async def _simulate(client: SuiteClient, versions: Sequence[PlanVersion]) -> float:
    """Return the seconds until all subscriptions were priced under each of `versions`."""
    candidates = [CandidatePlan(version=version, currency_code="USD") for version in versions]
    request = SimulatePlanRequest(candidates=candidates, start=timestamp(APRIL), end=timestamp(MAY))
    started = time.perf_counter()
    answers = [
        answer async for answer in client.rating.SimulatePlan(request, timeout=SIMULATION_SECONDS)
    ]
    elapsed = time.perf_counter() - started
    whole = answers[-1].simulation
    assert whole.subscription_count == whole.period_count == CUSTOMERS, whole
    amounts = [whole.before, *(one.amount for one in whole.after)]
    assert len(amounts) == 1 + len(versions), whole
    assert all(one.amount_minor > 0 for one in amounts), whole
    return elapsed


async def _read_in_turns(client: SuiteClient) -> tuple[list[float], list[float]]:
    """Return the milliseconds of GetUsage, and of a read by primary key, called in turns."""
    usage, pk = [], []
    for number in range(READS):
        who = customer(number * 7 % CUSTOMERS)
        started = time.perf_counter()
        answer = await client.usage.GetUsage(GetUsageRequest(subscription_id=who))
        between = time.perf_counter()
        await client.meters.GetMeter(GetMeterRequest(code=METERS[number % len(METERS)].code))
        usage.append((between - started) * 1_000)
        pk.append((time.perf_counter() - between) * 1_000)
        assert len(answer.fees) == len(METERS), answer
    return usage, pk


def _versions() -> list[PlanVersion]:
    """Return two plan versions to try: one of tiers, one with a price for each model."""
    tiers = [Charge(meter_code=meter.code, price=Price(graduated=TIERS)) for meter in METERS]
    package = Price(package=PackagePrice(amount="0.5", package_size="1000", free_units="500"))
    buckets = [
        FilterBucket(
            code=model,
            filters=[DimensionFilter(key="model", values=[model])],
            price=Price(standard=StandardPrice(unit_amount=f"0.000{place + 1}")),
        )
        for place, model in enumerate(MODELS)
    ]
    by_model = [
        Charge(meter_code="requests", price=package),
        Charge(meter_code="tokens", price=package, buckets=buckets),
        Charge(meter_code="users", price=package),
    ]
    month = IntervalUnit.INTERVAL_UNIT_MONTH
    return [PlanVersion(interval_unit=month, charges=charges) for charges in (tiers, by_model)]
