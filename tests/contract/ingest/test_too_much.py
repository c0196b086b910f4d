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
STREAM_BYTES_MAX = 8 * MIB
TRANSPORT_BYTES_MAX = 4 * MIB  # What gRPC takes ahead of the service, at both ends.
BATCHES = 22
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
        await until(lambda: waiting_bytes(ingest) >= STREAM_BYTES_MAX)
        await let_it_read_on(client)
        assert waiting_bytes(ingest) < STREAM_BYTES_MAX + 2 * size
        assert stream.sent * size < STREAM_BYTES_MAX + 2 * size + TRANSPORT_BYTES_MAX
    await sending
    await stream.end()
    assert stream.acked_through == BATCHES
    assert stream.count() == (64, (BATCHES - 1) * 64)


async def test_a_stream_waits_while_its_answers_are_not_read(
    client: Client, ingest: Ingest
) -> None:
    """Each batch comes back whole, as conflicts, and larger than it was."""
    await client.record(event(LONG, source=LONG))
    batch = [event(LONG, source=LONG, type="other")] * 2_000
    size = sum(one.ByteSize() for one in batch)
    stream = open_stream(client)
    sending = asyncio.create_task(send_all(stream, batch))
    await until(lambda: waiting_bytes(ingest) >= STREAM_BYTES_MAX)
    await let_it_read_on(client)
    assert waiting_bytes(ingest) < STREAM_BYTES_MAX + 2 * size
    assert not sending.done()
    reading = asyncio.create_task(stream.read_through(BATCHES))
    await sending
    await reading
    await stream.end()
    named = [of_batch for answer in stream.answers for of_batch in answer.exceptions]
    assert sum(len(of_batch.exceptions) for of_batch in named) == BATCHES * len(batch)
    assert stream.count() == (0, 0)


def waiting_bytes(ingest: Ingest) -> float:
    return ingest.metric("tally_ingest_waiting_bytes")


async def send_all(stream: Stream, batch: list[event_pb2.Event]) -> None:
    for _ in range(BATCHES):
        await stream.send(*batch)


async def let_it_read_on(client: Client) -> None:
    """Make calls on the stream's connection, so many that it could read far more."""
    for _ in range(20):
        await client.call("ListEvents", pb.ListEventsRequest(page_size=1))


async def test_a_flood_of_calls_is_refused_and_leaves_other_tenants_alone(
    client: Client, other_client: Client, ingest: Ingest
) -> None:
    batch = batch_of(500)
    async with held_commits(ingest):
        flood = [asyncio.create_task(client.record(*batch)) for _ in range(5)]
        [refused], _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        failed = refused.exception()
        assert isinstance(failed, grpc.aio.AioRpcError)
        error = error_of(failed, "RecordEvents")
        assert isinstance(error, Exhausted)
        assert (error.reason, error.retry_after) == ("INGEST_BUSY", 1.0)
        others = [asyncio.create_task(other_client.record(*batch)) for _ in range(2)]
        await until(lambda: ingest.metric("tally_ingest_waiting_events") == 6 * 500)
    answers = await asyncio.gather(*others, *(one for one in flood if one is not refused))
    assert all(len(answer.verdicts) == 500 for answer in answers)
    await client.record(*batch)
