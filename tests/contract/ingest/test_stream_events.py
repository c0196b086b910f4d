"""StreamEvents: batches one after the other, acknowledged in order when they are durable."""

from __future__ import annotations

import base64
from typing import Any

import grpc
import pytest

from libs.errors import Exhausted
from libs.status import error_of
from tally.ingest.v1 import bulk_pb2, event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tally.ingest.v1.event_columns_pb2 import EventColumns
from tests.columns import columns_of
from tests.contract.ingest.conftest import Client, Ingest
from tests.contract.ingest.streams import Stream, held_commits, open_stream
from tests.contract.ingest.test_record_events import event
from tests.wait import until

Request, Batch = bulk_pb2.StreamEventsRequest, bulk_pb2.EventBatch
STREAMS_MAX = 128  # Of one tenant alone: half of the process's.


async def test_batches_are_acknowledged_in_order_and_counted(client: Client) -> None:
    stream = open_stream(client)
    for batch in range(1, 6):
        await stream.send(event(f"{batch}-a"), event(f"{batch}-b"), event("once"))
    answers = await stream.end()
    acked = [answer.acked_through for answer in answers]
    assert acked == sorted(set(acked)) and acked[-1] == 5
    assert stream.count() == (11, 4)
    stored = ["once", *(f"{batch}-{name}" for batch in range(1, 6) for name in "ab")]
    assert sorted(await ids_of(client)) == sorted(stored)


async def ids_of(client: Client) -> list[str]:
    listed = await client.call("ListEvents", pb.ListEventsRequest(page_size=1_000))
    return [one.event.id for one in listed.events]


async def test_the_token_of_an_answer_covers_all_that_was_acknowledged(client: Client) -> None:
    early = (await client.record(event("early"))).ack_token
    stream = open_stream(client)
    await stream.send(event("late"))
    late = (await stream.read_through(1)).ack_token
    await stream.send(event("early"))
    assert (await stream.read_through(2)).ack_token == late
    assert number_of(late) > number_of(early)
    again = open_stream(client)
    await again.send(event(""))
    assert number_of((await again.read_through(1)).ack_token) == 0
    await again.send(event("early"))
    assert (await again.read_through(2)).ack_token == early


def number_of(ack_token: str) -> int:
    return int(base64.urlsafe_b64decode(ack_token + "==").split(b":")[1])


async def test_what_is_not_stored_is_named_by_batch_and_index(client: Client) -> None:
    stream = open_stream(client)
    await stream.send(event("a"), event("", type="x"), event("b", amount="1,5"))
    await stream.read_through(1)
    await stream.send(event("c"))
    await stream.send(event("a", type="other"), event("a"))
    exceptions = [
        (of_batch.batch_number, one.index, event_pb2.RejectionReason.Name(one.reason), one.field)
        for answer in await stream.end()
        for of_batch in answer.exceptions
        for one in of_batch.exceptions
    ]
    assert exceptions == [
        (1, 1, "REJECTION_REASON_ID_MISSING", "id"),
        (1, 2, "REJECTION_REASON_AMOUNT_INVALID", "amount"),
        (3, 0, "REJECTION_REASON_CONFLICT", "id"),
    ]
    assert stream.count() == (2, 1)
    kept = await client.call("ListRejectedEvents", pb.ListRejectedEventsRequest())
    assert len(kept.events) == 3


async def test_batches_may_have_their_events_as_columns(client: Client) -> None:
    one_by_one = [event("a"), event("b")]
    as_columns = [event("c"), event("", type="x"), *one_by_one]
    stream = open_stream(client)
    await stream.send(*one_by_one)
    await stream.read_through(1)
    await stream.write(Request(batch_number=2, columns=columns_of(as_columns)))
    [of_batch] = (await stream.end())[-1].exceptions
    assert (of_batch.batch_number, [one.index for one in of_batch.exceptions]) == (2, [1])
    assert stream.count() == (3, 2)
    assert sorted(await ids_of(client)) == ["a", "b", "c"]


async def test_an_empty_stream_ends_well(client: Client) -> None:
    assert await open_stream(client).end() == []


GOOD = Batch(events=[event("late")])
BAD: dict[str, tuple[bytes, str, str]] = {
    # What is sent in place of the second batch, with how it is refused.
    "a gap": (Request(batch_number=3, events=GOOD).SerializeToString(), "", "batch_number"),
    "a repeat": (Request(batch_number=1, events=GOOD).SerializeToString(), "", "batch_number"),
    "no batch": (Request(batch_number=2).SerializeToString(), "", "batch"),
    "no events": (
        Request(batch_number=2, events=Batch()).SerializeToString(),
        "",
        "events.events",
    ),
    "columns that do not fit": (
        Request(
            batch_number=2, columns=EventColumns(ids=["a"], texts=[""], types=[1])
        ).SerializeToString(),
        "",
        "columns.types",
    ),
    "10,001 events": (
        Request(batch_number=2, events=Batch(events=[event()] * 10_001)).SerializeToString(),
        "BATCH_TOO_LARGE",
        "",
    ),
    "above 8 MiB": (
        Request(
            batch_number=2, events=Batch(events=[event(type="x" * 850_000)] * 10)
        ).SerializeToString(),
        "BATCH_TOO_LARGE",
        "",
    ),
    "no message": (b"\xff\xff\xff", "", ""),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_batch_ends_the_stream_after_those_before_it(
    client: Client, ingest: Ingest, kind: str
) -> None:
    content, reason, field = BAD[kind]
    stream = open_raw_stream(client)
    async with held_commits(ingest):
        await stream.call.write(Request(batch_number=1, events=GOOD).SerializeToString())
        await stream.call.write(content)
    refused = await stream.refused()
    assert refused.code == "INVALID_ARGUMENT"
    assert refused.reason == (reason or "FIELD_INVALID")
    assert list(refused.fields) == ([field] if field else [])
    assert refused.metadata["batch_number"] == "2"
    assert (stream.acked_through, stream.count()) == (1, (1, 0))


def open_raw_stream(client: Client) -> Stream:
    """Open a stream on which bytes are sent as they are."""
    method: Any = client.channel.stream_stream(
        "/tally.ingest.v1.IngestService/StreamEvents",
        response_deserializer=bulk_pb2.StreamEventsResponse.FromString,
    )
    return Stream(method(metadata=client.metadata, timeout=60))


async def test_a_batch_of_unknown_outcome_ends_the_stream_after_those_before_it(
    client: Client, ingest: Ingest
) -> None:
    stream = open_stream(client)
    await stream.send(event("before"))
    await stream.read_through(1)
    async with held_commits(ingest) as holder:
        await stream.send(event("unknown"))
        await until(lambda: holder.seals_wait())
        await stream.send(event("behind"))
        await holder.end_waiting()
    refused = await stream.refused()
    assert (refused.code, refused.metadata) == ("UNAVAILABLE", {"batch_number": "2"})
    again = open_stream(client)
    await again.send(event("unknown"), event("behind"))
    await again.end()
    assert sorted(await ids_of(client)) == ["before", "behind", "unknown"]


async def test_a_tenant_with_too_many_streams_is_told_so_and_others_are_not(
    client: Client, other_client: Client, ingest: Ingest
) -> None:
    streams = [open_stream(client) for _ in range(STREAMS_MAX)]
    for stream in streams:
        await stream.call.initial_metadata()
    one_more = open_stream(client)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await one_more.read_all()
    error = error_of(caught.value, "StreamEvents")
    assert isinstance(error, Exhausted)
    assert (error.reason, error.retry_after) == ("TOO_MANY_STREAMS", 1.0)
    other = open_stream(other_client)
    await other.send(event())
    await other.read_through(1)
    for stream in streams[1:]:
        stream.call.cancel()
    await until(lambda: ingest.metric("tally_ingest_streams") == 2)
    await open_stream(client).call.initial_metadata()
    await streams[0].send(event())
    await streams[0].read_through(1)


async def test_a_producer_that_leaves_leaves_nothing_behind(client: Client, ingest: Ingest) -> None:
    stream = open_stream(client)
    async with held_commits(ingest):
        for name in "abc":
            await stream.send(event(name))
        await until(lambda: ingest.metric("tally_ingest_waiting_events") == 3)
        stream.call.cancel()
        await until(lambda: ingest.metric("tally_ingest_streams") == 0)
    await until(lambda: ingest.metric("tally_ingest_waiting_bytes") == 0)
    assert sorted(await ids_of(client)) == ["a", "b", "c"]
