"""However many processes ingest and rating have, every event counts once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cli.client import SuiteClient
from tally.ingest.v1.event_pb2 import Event
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.processes import more_processes
from tests.scenario import builders
from tests.suite import Suite
from tests.wait import until

PARTITIONS = 4  # Of the log of an embedded suite.
CUSTOMERS = 24
EVENTS = 2_400
BATCH = 50


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_totals_are_the_same_with_any_number_of_processes(suite: Suite, count: int) -> None:
    with dealt(suite, count) as addresses:
        await assert_all_count_once(suite, addresses)


async def test_processes_that_fold_the_same_partitions_count_each_event_once(suite: Suite) -> None:
    with more_processes(suite.stack, "rating", 1):
        await assert_all_count_once(suite, [suite.stack.address("ingest")])


@contextmanager
def dealt(suite: Suite, count: int) -> Iterator[list[str]]:
    """Runs so many processes of each, the partitions dealt out; gives ingest's addresses."""
    owned = [
        {"RATING_PARTITIONS": ",".join(map(str, range(place, PARTITIONS, count)))}
        for place in range(count)
    ]
    with ExitStack() as running:
        restart_rating(suite, owned[0])
        running.callback(restart_rating, suite, {})
        more = running.enter_context(more_processes(suite.stack, "ingest", count - 1))
        others = dict(enumerate(owned[1:]))
        running.enter_context(more_processes(suite.stack, "rating", count - 1, extra_env=others))
        yield [suite.stack.address("ingest"), *more]


def restart_rating(suite: Suite, env: Mapping[str, str]) -> None:
    suite.stack.stop_service("rating")
    suite.stack.start_service("rating", extra_env=env)


async def assert_all_count_once(suite: Suite, addresses: Sequence[str]) -> None:
    """Sends every event twice, at once and to any process, and looks at what became of all."""
    tenant = suite.new_tenant()
    now = datetime.now(UTC)
    customers = [f"customer-{place}" for place in range(CUSTOMERS)]
    async with suite.client(tenant) as client:
        await builders.sell(client)
        for customer in customers:
            await builders.subscribe(client, customer, now - timedelta(minutes=5))
        events = [
            builders.usage(customers[place % CUSTOMERS], now, f"{place}.25")
            for place in range(EVENTS)
        ]
        verdicts = await send_twice(suite, tenant, addresses, events)
        assert verdicts == {"ACCEPTED": EVENTS, "DUPLICATE": EVENTS}
        for place, customer in enumerate(customers):
            mine = [Decimal(f"{number}.25") for number in range(place, EVENTS, CUSTOMERS)]
            await until_usage_is(client, customer, sum(mine, Decimal(0)), len(mine))


async def send_twice(
    suite: Suite, tenant: int, addresses: Sequence[str], events: Sequence[Event]
) -> Counter[str]:
    chance = random.Random(7)
    batches = []
    for _ in range(2):
        shuffled = chance.sample(events, len(events))
        batches += [shuffled[at : at + BATCH] for at in range(0, len(events), BATCH)]
    token = suite.token(tenant)
    clients = [
        SuiteClient({**suite.stack.addresses, "ingest": address}, token=token)
        for address in addresses
    ]
    sending = [builders.record(chance.choice(clients), batch) for batch in batches]
    verdicts = Counter(
        verdict for of_batch in await asyncio.gather(*sending) for verdict in of_batch
    )
    for client in clients:
        await client.close()
    return verdicts


async def until_usage_is(
    client: SuiteClient, customer: str, units: Decimal, event_count: int
) -> None:
    asked = GetUsageRequest(subscription_id=f"{customer}-pro")

    async def counted() -> bool:
        fees = (await client.usage.GetUsage(asked)).fees
        return [(Decimal(fee.units), fee.event_count) for fee in fees] == [(units, event_count)]

    await until(counted, seconds=60, describe=f"{units} units of {customer}")
