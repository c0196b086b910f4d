"""Ingest killed at any moment: what was acknowledged is there, and a retry is a duplicate."""

from __future__ import annotations

import asyncio
import time

import grpc

from services.ingest.domain.columns import decode
from services.ingest.store.slice_content import unpack_content
from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.contract.ingest.conftest import START_SECONDS, Client, Ingest
from tests.contract.ingest.test_record_events import event, names

BATCHES = 12


async def test_events_sent_around_a_kill_are_stored_exactly_once(ingest: Ingest) -> None:
    tenant = ingest.new_tenant()
    batches = [[event(f"{batch}-{n}") for n in range(50)] for batch in range(BATCHES)]
    async with ingest.client(tenant) as client:
        sending = [asyncio.create_task(first_answer(client, batch)) for batch in batches]
        await next(asyncio.as_completed(sending))
        ingest.service.kill()
        acknowledged = [await one for one in sending]
    ingest.service.start()
    ingest.service.await_serving(time.monotonic() + START_SECONDS)
    async with ingest.client(tenant) as client, ingest.client(None) as internal:
        for batch, before in zip(batches, acknowledged, strict=True):
            verdicts = set(names(await client.record(*batch)))
            assert verdicts == {"DUPLICATE"} if before else verdicts <= {"DUPLICATE", "ACCEPTED"}
        [head] = (await internal.call("GetHeads", pb.GetHeadsRequest())).heads
        stored = [
            one.event.id
            for partition in range(len(head.slice_numbers))
            for part in await internal.slices(partition)
            for one in decode(unpack_content(part.content))
            if one.tenant == tenant
        ]
    assert sorted(stored) == sorted(one.id for batch in batches for one in batch)


async def first_answer(client: Client, batch: list[event_pb2.Event]) -> bool:
    """Send `batch` once; return whether it was acknowledged."""
    try:
        await client.record(*batch)
    except grpc.aio.AioRpcError:
        return False
    return True
