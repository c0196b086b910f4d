"""Streams around the end of ingest: what was acknowledged is there, the rest is sent again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.contract.ingest.conftest import START_SECONDS, Client, Ingest
from tests.contract.ingest.streams import Stream, held_commits, open_stream
from tests.contract.ingest.test_record_events import event
from tests.wait import until

BATCHES, EVENTS = 40, 25
Batches = Sequence[list[event_pb2.Event]]


async def test_a_stream_that_goes_on_after_a_kill_stores_each_event_once(ingest: Ingest) -> None:
    tenant = ingest.new_tenant()
    batches = [[event(f"{batch}-{n}") for n in range(EVENTS)] for batch in range(BATCHES)]
    async with ingest.client(tenant) as client:
        stream = open_stream(client)
        acked = await send_until_killed(ingest, stream, batches)
    start(ingest)
    async with ingest.client(tenant) as client:
        again = open_stream(client)
        for batch in batches[acked:]:
            await again.send(*batch)
        await again.end()
        assert again.acked_through == BATCHES - acked
        assert sum(again.count()) == (BATCHES - acked) * EVENTS
        assert stream.count()[0] + again.count()[0] <= BATCHES * EVENTS
        stored = await ids_of(client)
    assert sorted(stored) == sorted(one.id for batch in batches for one in batch)


async def send_until_killed(ingest: Ingest, stream: Stream, batches: Batches) -> int:
    """Send batches, and kill ingest among them; return up to which one was acknowledged."""
    for batch in batches[: BATCHES // 2]:
        await stream.send(*batch)
    await stream.read_through(3)
    for batch in batches[BATCHES // 2 : -5]:
        await stream.send(*batch)
    ingest.service.kill()
    refused = await stream.refused()
    assert refused.code == "UNAVAILABLE"
    return stream.acked_through


async def test_at_shutdown_what_was_taken_is_acknowledged_first(ingest: Ingest) -> None:
    tenant = ingest.new_tenant()
    async with ingest.client(tenant) as client:
        stream, idle = open_stream(client), open_stream(client)
        await idle.call.initial_metadata()
        async with held_commits(ingest):
            for name in "abc":
                await stream.send(event(name))
            await until(lambda: ingest.metric("tally_ingest_waiting_events") == 3)
            ingest.service.ask_to_stop()
            refused = await idle.refused()
        assert (refused.code, refused.reason) == ("UNAVAILABLE", "UNAVAILABLE")
        refused = await stream.refused()
        assert (refused.code, refused.reason) == ("UNAVAILABLE", "UNAVAILABLE")
        assert (stream.acked_through, stream.count()) == (3, (3, 0))
    assert ingest.service.stop()
    start(ingest)
    async with ingest.client(tenant) as client:
        assert sorted(await ids_of(client)) == ["a", "b", "c"]


def start(ingest: Ingest) -> None:
    ingest.service.start()
    ingest.service.await_serving(time.monotonic() + START_SECONDS)


async def ids_of(client: Client) -> list[str]:
    """Return the ids of all events of the tenant."""
    found: list[str] = []
    token = ""
    while token or not found:
        request = pb.ListEventsRequest(page_size=1_000, page_token=token)
        page = await client.call("ListEvents", request)
        found += [one.event.id for one in page.events]
        token = page.next_page_token
        if not token:
            break
    return found
