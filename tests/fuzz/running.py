"""One whole run: a suite, calls at every RPC, and what is left of the suite afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC
from decimal import Decimal

from libs.errors import TallyError
from tally.ingest.v1.event_pb2 import Event
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.internal.v1.test_clock_service_pb2 import GetTimeRequest
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.contract.bad_input.world import Worlds, make_worlds
from tests.fuzz.campaign import Campaign
from tests.fuzz.watch import find_harm, has_unbillable, vitals_of
from tests.suite import Suite
from tests.wait import until

GROWTH_MAX_MIB = (
    128.0  # Of a service, from when it is warm to the end: what requests of 6 MiB take.
)
SETTLE_SECONDS = 120

Say = Callable[[str], None]


def fuzz(suite: Suite, seed_value: int, *, each: int, seconds: float = 0.0, say: Say) -> list[str]:
    """Call every RPC about `each` times, again for `seconds`; return all that is wrong, or [].

    A first round only warms the services up, before their memory is looked at; its answers are
    judged like all others.
    """
    campaign = Campaign(suite)
    campaign.repeat_found()
    campaign.run(seed_value, each=max(each // 4, 2))
    before = vitals_of(suite.stack)
    campaign.run(seed_value + 1, each=each)
    if seconds:
        campaign.run_for(seconds, seed_value + 2, say)
    say(str(campaign.tally))
    wrong = list(campaign.tally.faults)
    wrong += find_harm(suite.stack, before, growth_max_mib=GROWTH_MAX_MIB)
    return wrong + find_stuck(suite)


def find_stuck(suite: Suite) -> list[str]:
    """Return what no longer works: [] if the suite comes to rest, and bills a new tenant."""
    try:
        asyncio.run(_level(suite))
        asyncio.run(suite.settle(seconds=SETTLE_SECONDS))
    except TallyError as error:
        if not has_unbillable(suite.stack):
            return [f"the suite does not come to rest: {error}"]
    worlds = make_worlds(suite)  # Of these it waits for an invoice.
    try:
        asyncio.run(_use(suite, worlds))
    except AssertionError as error:
        return [f"an event does not count: {error}"]
    return []


async def _level(suite: Suite) -> None:
    """Bring all clocks to the latest of them; calls have moved each by itself."""
    async with suite.internal() as client:
        times = [(await clock.GetTime(GetTimeRequest())).now for clock in client.clocks.values()]
    latest = max(time.ToDatetime(tzinfo=UTC) for time in times)
    await suite.set_time(latest)


async def _use(suite: Suite, worlds: Worlds) -> None:
    """Record an event for a new tenant, and see it counted."""
    async with suite.client(worlds.tenant) as client:
        event = Event(id="after", type=worlds.mine["meter"], customer_id=worlds.mine["customer"])
        event.properties["value"].decimal = "7"
        event.subscription_id = worlds.mine["subscription"]
        asked = GetUsageRequest(subscription_id=worlds.mine["subscription"])

        async def units() -> set[Decimal]:
            return {Decimal(fee.units) for fee in (await client.usage.GetUsage(asked)).fees}

        # The world's own event names no subscription: it may be this one's, which is waited for
        # already, as its instant fee is there.
        expected = {before + 7 for before in await units()}
        await client.ingest.RecordEvents(RecordEventsRequest(events=[event]))

        async def counted() -> bool:
            return await units() == expected

        await until(counted, seconds=60, describe=lambda: f"{expected} units")
