"""More than ingest can take: streams wait in their connections, calls are refused in time."""

from __future__ import annotations

import asyncio

import grpc

from libs.errors import Exhausted
from libs.status import error_of
from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.contract.ingest.conftest import Client, Ingest
from tests.contract.ingest.streams import Stream, held_commits, open_stream
from tests.contract.ingest.test_record_events import event, values
from tests.wait import until

MIB = 1024 * 1024
STREAM_BYTES_MAX = 16 * MIB
TRANSPORT_BYTES_MAX = 8 * MIB  # What gRPC takes ahead of the service, at both ends.
BATCHES = 50
LARGE = values(15)  # 15 KiB in an event.
LONG = "x" * 255


def batch_of(count: int) -> list[event_pb2.Event]:
    return [event(f"e{n}", properties=LARGE) for n in range(count)]


async def test_a_stream_waits_in_its_connection_while_too_much_of_it_is_in_flight(
    client: Client, ingest: Ingest
) -> None:
    batch = batch_of(64)
    size = sum(one.ByteSize() for one in batch)
    stream = open_stream(client)
    async with held_commits(ingest):
        sending = asyncio.create_task(send_all(stream, batch))
        waiting = lambda: ingest.metric("tally_ingest_waiting_bytes")  # noqa: E731
        await until(lambda: waiting() >= STREAM_BYTES_MAX)
        for _ in range(100):  # Time enough to read on.
            await client.call("ListEvents", pb.ListEventsRequest())
        assert waiting() < STREAM_BYTES_MAX + 2 * size
        assert stream.sent * size < STREAM_BYTES_MAX + 2 * size + TRANSPORT_BYTES_MAX
        assert stream.acked_through == 0
    await sending
    await stream.end()
    assert stream.acked_through == BATCHES
    assert stream.count() == (64, (BATCHES - 1) * 64)


async def send_all(stream: Stream, batch: list[event_pb2.Event]) -> None:
    for _ in range(BATCHES):
        await stream.send(*batch)


async def test_a_stream_waits_while_its_answers_are_not_read(
    client: Client, ingest: Ingest
) -> None:
    await client.record(event(LONG, source=LONG))
    conflicts = [event(LONG, source=LONG, type=f"t{n}") for n in range(1_000)]
    batch = conflicts * 2
    size = sum(one.ByteSize() for one in batch)
    stream = open_stream(client)
    sending = asyncio.create_task(send_all(stream, batch))
    sent = 0
