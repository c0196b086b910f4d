"""Rows, columns and streams at once, of several tenants: usage is what was sent, once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta

import grpc

from tally.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.mixed import expected, sell_mixed, usage_of
from tests.producing import START, Form, Memory, Producer, read_stored
from tests.suite import Suite

TENANTS, ROUNDS = 2, 2  # Each producer sends 2 times 4 batches of 200 events.


async def test_usage_is_what_producers_of_all_forms_sent_once(suite: Suite) -> None:
    await suite.advance(START + timedelta(days=1))
    tenants = [suite.new_tenant() for _ in range(TENANTS)]
    await asyncio.gather(*(produce_and_compare(suite, tenant) for tenant in tenants))


async def produce_and_compare(suite: Suite, tenant: int) -> None:
    memory = Memory()
    channel = grpc.aio.insecure_channel(suite.stack.address("ingest"))
    token = (("authorization", f"Bearer {suite.token(tenant)}"),)
    async with suite.client(tenant) as client, channel:
        await sell_mixed(client, START)
        stub = IngestServiceStub(channel)
        producers = [
            Producer(memory, stub, form, random.Random(f"{tenant} {form}"), token) for form in Form
        ]
        await asyncio.gather(*(one.run(times(ROUNDS)) for one in producers))
        await suite.settle()
        assert not memory.refusals
        assert memory.conflicting
        stored = await read_stored(suite.database_url("ingest", "worker"), tenant)
        assert memory.compare(stored) == []
        assert len(stored) == len(memory.sent)
        for customer in {one.customer_id for one in memory.acknowledged.values()}:
            own = [one for one in memory.acknowledged.values() if one.customer_id == customer]
            assert await usage_of(client, customer) == expected(own)


def times(count: int) -> Callable[[], bool]:
    """Return what is true so many times."""
    left = iter(range(count))
    return lambda: next(left, None) is not None
