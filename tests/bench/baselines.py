"""What the suite is compared with: a bare COPY, and the naive service."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

import asyncpg
import grpc

from deploy.embedded.ports import HOST, choose_port
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tests.bench.naive import METHOD
from tests.bench.workload import Workload

COPY_ROWS = 5_000
COPY_SECONDS = 1.5
NAIVE_SECONDS = 3.0
CALLERS = 32


async def raw_copy_rows_per_s(database_url: str) -> float:
    """Copy rows, encoded before, into a table without an index, each 5,000 in a transaction."""
    conn = await asyncpg.connect(database_url)
    await conn.execute("DROP TABLE IF EXISTS raw_copy")
    await conn.execute(
        "CREATE TABLE raw_copy (id text, customer_id text, type text, time timestamptz, props text)"
    )
    await conn.copy_records_to_table("raw_copy", records=_records(COPY_ROWS))
    encoded = io.BytesIO()
    await conn.copy_from_table("raw_copy", output=encoded, format="binary")
    content = encoded.getvalue()
    rows, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < COPY_SECONDS:
        await conn.copy_to_table("raw_copy", source=io.BytesIO(content), format="binary")
        rows += COPY_ROWS
    await conn.execute("DROP TABLE raw_copy")
    await conn.close()
    return rows / elapsed


async def naive_events_per_s(database_url: str) -> float:
    """Call the naive service, 32 calls at a time, each with one event."""
    workload = Workload(1_000, seed=99)
    with _naive_service(database_url) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            record: Any = channel.unary_unary(METHOD)
            requests = iter(lambda: workload.batch(1), None)
            prepared = [next(requests) for _ in range(20_000)]
            started = time.perf_counter()
            until = started + NAIVE_SECONDS

            async def caller() -> int:
                calls = 0
                while prepared and time.perf_counter() < until:
                    await record(prepared.pop())
                    calls += 1
                return calls

            calls = sum(await asyncio.gather(*(caller() for _ in range(CALLERS))))
            elapsed = time.perf_counter() - started
    conn = await asyncpg.connect(database_url)
    stored = await conn.fetchval("SELECT count(*) FROM naive_event")
    await conn.execute("DROP TABLE naive_event")
    await conn.close()
    assert stored == calls, f"the naive service stored {stored} of {calls} events"
    return calls / elapsed


def _records(count: int) -> list[tuple[object, ...]]:
    request = RecordEventsRequest.FromString(Workload(1_000, seed=98).batch(count))
    return [
        (
            event.id,
            event.customer_id,
            event.type,
            event.time.ToDatetime(tzinfo=UTC),
            str({name: value.text or value.decimal for name, value in event.properties.items()}),
        )
        for event in request.events
    ]


@contextmanager
def _naive_service(database_url: str) -> Iterator[str]:
    address = f"{HOST}:{choose_port()}"
    command = [sys.executable, "-m", "tests.bench.naive", address, database_url]
    process = subprocess.Popen(command)
    try:
        yield address
    finally:
        process.terminate()
        process.wait()
