"""What rounds of kills do not play: the whole suite without the server of its facts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from tests.chaos.killing import SERVICES
from tests.scenario.builders import record, usage
from tests.suite import Suite

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


async def test_a_suite_starts_and_records_without_nats_and_catches_up(suite: Suite) -> None:
    for name in ("nats", *SERVICES):
        await asyncio.to_thread(suite.stack.kill, name)
    starting = [asyncio.to_thread(suite.stack.start_service, name) for name in SERVICES]
    await asyncio.gather(*starting)
    event = usage("acme", MONDAY)
    event.ClearField("time")  # Now, whenever that is.
    async with suite.client(suite.new_tenant()) as client:
        assert await record(client, [event]) == ["ACCEPTED"]
    assert await suite.refuses_to_settle(seconds=1)
    await asyncio.to_thread(suite.stack.start_part, "nats")
    await suite.settle()
