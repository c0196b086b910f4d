"""How fast rating catches up with events that came while it was stopped."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from cli.client import SuiteClient
from deploy.embedded.stack import Stack
from tests.bench.ingest import measuring
from tests.bench.pipeline import check_verdicts, recorder

RATING = "rating"


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Events a second: acknowledged while rating was stopped, and usage once it served again."""

    acked_per_s: float
    caught_up_per_s: float

    @property
    def ratio(self) -> float:
        """Return `catch_up_over_ingest`."""
        return self.caught_up_per_s / self.acked_per_s


async def measure(
    stack: Stack,
    client: SuiteClient,
    internal: SuiteClient,
    prepared: measuring.Prepared,
    *,
    in_flight: int,
) -> CaughtUp:
    """Kill rating, send requests as fast as they are taken, start it, wait until all is usage.

    The time in which its process starts is in neither figure. Ingest has both cores to itself
    while it takes the events: the ratio is smaller than under a load with rating beside it.

    Raises:
        AssertionError: not every event was accepted once.
    """
    stack.kill(RATING)
    try:
        acked = await _send(client, prepared, in_flight)
    finally:
        await asyncio.to_thread(stack.start_service, RATING)
    started = time.perf_counter()
    await measuring.settle(internal)
    caught_up = time.perf_counter() - started
    return CaughtUp(prepared.events / acked, prepared.events / caught_up)


async def _send(client: SuiteClient, prepared: measuring.Prepared, in_flight: int) -> float:
    """Return the seconds until the last answer."""
    record = recorder(client, prepared.method)
    waiting = deque(prepared.requests)
    answers: list[bytes] = []

    async def caller() -> None:
        while waiting:
            request = waiting.popleft()
            answers.append(await record(request, timeout=measuring.DEADLINE_SECONDS))

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    taken = time.perf_counter() - started
    check_verdicts(answers, fresh=prepared.fresh, events=prepared.events, method=prepared.method)
    return taken
