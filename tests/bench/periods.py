"""The turn of a month: the next periods of many subscriptions are written, the last announced.

`python -m tests.bench.periods` measures this alone.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from deploy.embedded.postgres import Postgres
from libs.db import begin_worker
from services.rating.domain.meter import Aggregation
from services.rating.domain.plan import Timing
from services.rating.operations import announcing, transitions
from services.rating.store.applied import open_lanes
from tests.servers import Database, TestPostgres
from tests.store.rating.conftest import LANE, TENANT, World, a_charge, opened_world

SUBSCRIPTIONS = 100_000
JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
DELAY = timedelta(minutes=10)
KNOWN = """
    INSERT INTO subscriptions (tenant, subscription_uid, subscription_id, customer_id,
        plan_version_id, currency, starts_at, time_zone, status, default_for_usage,
        collection_delay_s, created_at, extend_at, billing_time, anchor_day)
    SELECT tenant, gen_random_uuid(), 'sub-' || n, 'customer-' || n, plan_version_id, 'USD', $1,
        'UTC', 'active', false, $2, $1, $1, 'calendar', $3
    FROM plan_versions, generate_series(1, $4) AS n WHERE plan_code = 'pro'
"""
TERMS = """
    INSERT INTO terms (tenant, term_id, subscription_uid, plan_version_id, time_zone, starts_at,
        first_day, early)
    SELECT tenant, gen_random_uuid(), subscription_uid, plan_version_id, time_zone, starts_at,
        (starts_at AT TIME ZONE 'UTC')::date, false
    FROM subscriptions
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the turn took: seconds on the wall, and of this process's processor time."""

    wall_s: float
    cpu_s: float


def measure(subscriptions: int = SUBSCRIPTIONS) -> Turn:
    """Return what a month's turn takes for so many subscriptions of a base fee and a charge."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-periods-") as folder:
        postgres = TestPostgres(Postgres(Path(folder)))
        postgres.server.start()
        try:
            return asyncio.run(_measure(postgres.database("rating"), subscriptions))
        finally:
            postgres.stop()


async def _measure(database: Database, subscriptions: int) -> Turn:
    async with opened_world(database) as world:
        async with begin_worker(world.worker) as conn:
            await open_lanes(conn, [LANE])
        await world.create_meter("calls", Aggregation.COUNT)
        charges = [a_charge("calls", "0.01")]
        await world.create_plan("pro", charges, base="9", timing=Timing.IN_ADVANCE, tenant=TENANT)
        await _fill(database, subscriptions)
        await _turn(world, JANUARY)
        owner = await asyncpg.connect(database.owner_url.replace("+asyncpg", ""))
        await owner.execute("VACUUM ANALYZE")
        await owner.close()
        started, cpu = time.perf_counter(), time.process_time()
        announced = await _turn(world, FEBRUARY + DELAY)
        turn = Turn(time.perf_counter() - started, time.process_time() - cpu)
        assert announced == subscriptions, announced
    return turn


async def _fill(database: Database, subscriptions: int) -> None:
    worker = await asyncpg.connect(database.worker_url.replace("+asyncpg", ""))
    await worker.execute(KNOWN, JANUARY, int(DELAY.total_seconds()), JANUARY.date(), subscriptions)
    await worker.execute(TERMS)
    await worker.close()


async def _turn(world: World, now: datetime) -> int:
    """Do what is due by `now`, as the calendar's loop does; return how many groups it was."""
    while await transitions.extend_many(world.worker, now):
        pass
    announced = 0
    while groups := await announcing.load_due_groups(world.worker, now):
        announced += await announcing.announce_many(world.worker, groups, now)
    return announced


if __name__ == "__main__":
    print(measure(int(sys.argv[1]) if len(sys.argv) > 1 else SUBSCRIPTIONS))
