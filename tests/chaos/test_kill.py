"""Rounds on a suite that keeps what it commits: those of the way from an event to usage.

`make test-kill` plays three of every target.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from deploy.embedded.stack import Stack
from tests.chaos.killing import SERVICES
from tests.chaos.outcome import describe
from tests.chaos.rounds import Rounds
from tests.nursery import Nursery
from tests.scenario.builders import record, usage
from tests.suite import Suite

CUSTOMERS = 4


@pytest.fixture(scope="module")
def rounds(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rounds]:
    """Rounds on a suite with a PostgreSQL of its own, as durable as in production."""
    folder = tmp_path_factory.mktemp("chaos")
    with Stack(folder, test_clock=True, start_process=nursery.start, env={}) as stack:
        yield Rounds(Suite(stack), customers=CUSTOMERS)


@pytest.mark.parametrize("target", ["ingest", "rating", "postgres"])
async def test_nothing_is_lost_or_doubled_by_a_kill_of(target: str, rounds: Rounds) -> None:
    outcome = await rounds.play(target, random.SystemRandom().getrandbits(32))
    assert not outcome.differences, "\n".join(describe(outcome))


async def test_a_suite_starts_and_records_without_nats_and_catches_up(rounds: Rounds) -> None:
    suite = rounds.suite
    for name in ("nats", *SERVICES):
        await asyncio.to_thread(suite.stack.kill, name)
    starting = [asyncio.to_thread(suite.stack.start_service, name) for name in SERVICES]
    await asyncio.gather(*starting)
    event = usage("acme", rounds.monday)
    event.ClearField("time")  # Now, whenever that is.
    async with suite.client(suite.new_tenant()) as client:
        assert await record(client, [event]) == ["ACCEPTED"]
    assert await suite.refuses_to_settle(seconds=1)
    await asyncio.to_thread(suite.stack.start_part, "nats")
    await suite.settle()
