"""How fast rating catches up with events that came while it was stopped."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from cli.client import SuiteClient
from deploy.embedded.stack import Stack
from tests.bench.ingest import measuring

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
        started = time.perf_counter()
        answers, _ = await measuring.record_all(client, prepared, in_flight=in_flight)
        acked = time.perf_counter() - started
    finally:
        await asyncio.to_thread(stack.start_service, RATING)
    started = time.perf_counter()
    await measuring.settle(internal)
    caught_up = time.perf_counter() - started
    prepared.check(answers)
    return CaughtUp(prepared.events / acked, prepared.events / caught_up)
