"""Sending batches, and what came of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

import asyncpg

from cli.client import SuiteClient
from libs import testclock
from tests.bench.ingest.load import Batch, Load
from tests.bench.pipeline import COLUMNS, ROWS, check_verdicts, recorder, units_of
from tests.bench.workload import customer

DEADLINE_SECONDS = 120.0
SETTLE_SECONDS = 900
COMMITS = 400
READERS = 8
POLL_SECONDS = 0.005
PROBE_SECONDS = 0.05
SIZES = "SELECT sum(pg_total_relation_size(t)) FROM unnest($1::regclass[]) AS t"
LOG_TABLES = ["event_key", "segment", "slice"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Serialized requests, the method that takes them, and what their answers must come to."""

    method: str
    requests: Sequence[bytes]
    events: int
    fresh: int

    def check(self, answers: Sequence[bytes]) -> None:
        """Raise AssertionError unless every event was accepted once."""
        check_verdicts(answers, fresh=self.fresh, events=self.events, method=self.method)


@dataclass(frozen=True, slots=True)
class Sent:
    """Seconds until the last answer, and until all was usage; those of each answer."""

    acked: float
    seen: float
    acks: Sequence[float]


def prepare_columns(batches: Sequence[Batch]) -> Prepared:
    """Return batches as RecordColumns."""
    requests = [batch.columns().SerializeToString() for batch in batches]
    return _prepared(COLUMNS, batches, requests)


def prepare_rows(batches: Sequence[Batch]) -> Prepared:
    """Return batches as RecordEvents."""
    requests = [batch.rows().SerializeToString() for batch in batches]
    return _prepared(ROWS, batches, requests)


def _prepared(method: str, batches: Sequence[Batch], requests: Sequence[bytes]) -> Prepared:
    fresh = sum(batch.fresh for batch in batches)
    return Prepared(method, requests, sum(map(len, batches)), fresh)


async def send(
    client: SuiteClient, internal: SuiteClient, prepared: Prepared, *, in_flight: int
) -> Sent:
    """Send requests as fast as they are taken, and wait until all of it is usage.

    Raises:
        AssertionError: not every event was accepted once.
    """
    started = time.perf_counter()
    answers, acks = await record_all(client, prepared, in_flight=in_flight)
    acked = time.perf_counter() - started
    await settle(internal)
    seen = time.perf_counter() - started
    prepared.check(answers)
    return Sent(acked, seen, acks)


async def record_all(
    client: SuiteClient, prepared: Prepared, *, in_flight: int
) -> tuple[list[bytes], list[float]]:
    """Send requests as fast as they are taken; return the answers, and the seconds of each."""
    record = recorder(client, prepared.method)
    waiting = deque(prepared.requests)
    acks: list[float] = []
    answers: list[bytes] = []

    async def caller() -> None:
        while waiting:
            request = waiting.popleft()
            started = time.perf_counter()
            answers.append(await record(request, timeout=DEADLINE_SECONDS))
            acks.append(time.perf_counter() - started)

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return answers, acks


async def settle(internal: SuiteClient) -> None:
    """Wait until all that was sent is usage."""
    await testclock.settle(internal.clocks, deadline_seconds=SETTLE_SECONDS)


async def send_paced(
    client: SuiteClient, prepared: Prepared, load: Load, *, per_second: float
) -> tuple[list[float], list[float]]:
    """Send so many requests a second, whatever the answers take, and single events beside.

    Returns the seconds of each answer, and those from an answer to a single event until GetUsage
    shows it.
    """
    record = recorder(client, prepared.method)
    acks: list[float] = []
    started = time.perf_counter()

    async def send_at(request: bytes, due: float) -> None:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        await record(request, timeout=DEADLINE_SECONDS)
        acks.append(time.perf_counter() - due)  # Had it to wait for its turn, that counts too.

    sending = asyncio.gather(
        *(
            send_at(request, started + place / per_second)
            for place, request in enumerate(prepared.requests)
        )
    )
    seen: list[float] = []
    number = 0
    while not sending.done():
        seen.append(await _watch_one(client, load, number))
        number = (number + 1) % load.customers
        await asyncio.sleep(PROBE_SECONDS)
    await sending
    return acks, seen


async def _watch_one(client: SuiteClient, load: Load, number: int) -> float:
    """Send one event; return how long after its answer it can be seen."""
    record = recorder(client, ROWS)
    before = (await units_of(client, customer(number))).get("requests", Decimal(0))
    alone = load.one(number).rows().SerializeToString()
    await record(alone, timeout=DEADLINE_SECONDS)
    acked = time.perf_counter()
    while (await units_of(client, customer(number))).get("requests", Decimal(0)) == before:
        await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - acked


async def check_usage(client: SuiteClient, load: Load, advance: Callable[[], None]) -> None:
    """Compare every customer's usage with what the generator counted.

    Raises:
        AssertionError: the two differ.
    """
    numbers = deque(range(load.customers))

    async def reader() -> None:
        while numbers:
            number = numbers.popleft()
            found = await units_of(client, customer(number))
            expected = load.expected(number)
            used = {code: units for code, units in expected.items() if load.counts[number]}
            assert found == used, f"{customer(number)}: {found}, not {used}"
            advance()

    await asyncio.gather(*(reader() for _ in range(READERS)))


async def commit_p50_s(database_url: str) -> float:
    """Return how long a bare transaction of one row takes, as a rule."""
    conn = await asyncpg.connect(database_url)
    await conn.execute("CREATE TABLE IF NOT EXISTS bare_commit (number bigint)")
    taken = []
    for number in range(COMMITS):
        started = time.perf_counter()
        await conn.execute("INSERT INTO bare_commit VALUES ($1)", number)
        taken.append(time.perf_counter() - started)
    await conn.execute("DROP TABLE bare_commit")
    await conn.close()
    return median(taken)


async def log_bytes(database_url: str) -> int:
    """Return what the log takes on disk, keys included, after a vacuum."""
    conn = await asyncpg.connect(database_url)
    for table in LOG_TABLES:
        await conn.execute(f"VACUUM {table}")
    size = await conn.fetchval(SIZES, LOG_TABLES)
    await conn.close()
    return int(size)
