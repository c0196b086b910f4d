"""What one tenant's flood makes of another one's answers: `python -m tests.bench.ingest.flood`."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from rich.console import Console

from cli.client import SuiteClient
from cli.running import public_scopes
from deploy.embedded.stack import Stack
from libs.wire import timestamp
from tally.internal.v1.test_clock_service_pb2 import SetTimeRequest
from tests.bench.ingest.load import Load
from tests.bench.ingest.measuring import DEADLINE_SECONDS, Prepared, prepare_columns, prepare_rows
from tests.bench.pipeline import recorder
from tests.bench.workload import START

TENANT, FLOODING_TENANT = 901, 902
CUSTOMERS = 100
BATCH, PER_SECOND, SECONDS = 100, 20.0, 8.0  # What the other tenant sends.
FLOOD_BATCH, FLOOD_BATCHES, FLOODING = 5_000, 120, 24  # Requests, and how many at once.
ROWS_BATCH = 1_000


async def flood_figures(stack: Stack, *, rounds: int = 3, seed: int = 77) -> dict[str, Any]:
    """Return `flood_ack_p99_ratio` and what it is made of; neither tenant has a subscription.

    Each round measures a tenant that sends 100 events 20 times a second, alone, beside a tenant
    that floods with columns, and beside one that floods with rows. The ratio is the worse one.
    """
    seeds = count(seed)
    flood_load, load = Load(CUSTOMERS, next(seeds)), Load(CUSTOMERS, next(seeds))
    found: dict[str, list[float]] = {"alone": [], "columns": [], "rows": []}
    taken: dict[str, list[float]] = {"columns": [], "rows": []}
    scopes = public_scopes()
    async with (
        SuiteClient(stack.addresses, token=stack.token(TENANT, scopes)) as client,
        SuiteClient(stack.addresses, token=stack.token(FLOODING_TENANT, scopes)) as flooding,
    ):
        await _acks(client, load, seconds=1.0)  # Warms up.
        for _ in range(rounds):
            found["alone"].append(_p99(await _acks(client, load)))
            for form in ("columns", "rows"):
                prepared = _prepare(form, flood_load)
                flood = asyncio.create_task(_flood(flooding, prepared))
                acks = await _acks(client, load)
                flood.cancel()
                taken[form].append(await flood)
                found[form].append(_p99(acks))
    p99 = {form: median(one) for form, one in found.items()}
    return {
        "flood_ack_p99_ratio": round(max(p99["columns"], p99["rows"]) / p99["alone"], 1),
        **{f"flood_ack_p99_ms_{form}": round(one * 1_000, 1) for form, one in p99.items()},
        **{f"flood_events_per_s_{form}": round(median(one)) for form, one in taken.items()},
    }


async def _acks(client: SuiteClient, load: Load, *, seconds: float = SECONDS) -> list[float]:
    """Send small batches at their times; return how long each answer took."""
    prepared = prepare_rows([load.batch(BATCH) for _ in range(int(seconds * PER_SECOND))])
    record = recorder(client, prepared.method)
    began = time.perf_counter()

    async def send_at(request: bytes, due: float) -> float:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        await record(request, timeout=DEADLINE_SECONDS)
        return time.perf_counter() - due

    dues = (began + place / PER_SECOND for place in count())
    return await asyncio.gather(*map(send_at, prepared.requests, dues))


def _prepare(form: str, load: Load) -> Prepared:
    if form == "columns":
        return prepare_columns([load.batch(FLOOD_BATCH) for _ in range(FLOOD_BATCHES)])
    return prepare_rows([load.batch(ROWS_BATCH) for _ in range(FLOOD_BATCHES)])


async def _flood(client: SuiteClient, prepared: Prepared) -> float:
    """Send as many events as are taken until cancelled; return how many a second that were.

    Once all are sent they come again, as duplicates.
    """
    record, sent, began = recorder(client, prepared.method), 0, time.perf_counter()
    size = prepared.events // len(prepared.requests)

    async def caller(requests: Sequence[bytes]) -> None:
        nonlocal sent
        for number in count():
            try:
                await record(requests[number % len(requests)], timeout=DEADLINE_SECONDS)
                sent += size
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(0.1)

    try:
        await asyncio.gather(
            *(caller(prepared.requests[place::FLOODING]) for place in range(FLOODING))
        )
    except asyncio.CancelledError:
        pass
    return sent / (time.perf_counter() - began)


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(0.99 * len(seconds))]


async def _main(stack: Stack) -> None:
    async with SuiteClient(stack.addresses, token=stack.token(None, ["internal"])) as internal:
        for clock in internal.clocks.values():
            await clock.SetTime(SetTimeRequest(now=timestamp(START)))
    Console().print(await flood_figures(stack))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tally-flood-") as folder:
        with Stack(Path(folder), test_clock=True, env={}) as running:
            asyncio.run(_main(running))
