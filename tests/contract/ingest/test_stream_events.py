"""StreamEvents: batches one after the other, acknowledged in order when they are durable."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tally.ingest.v1 import bulk_pb2, event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.contract.ingest.conftest import Client, Ingest, Refusal
from tests.contract.ingest.streams import Stream, held_commits, open_stream
from tests.contract.ingest.test_record_events import event
from tests.wait import until

ANSWER_BYTES_MAX = 1024 * 1024
IN_FLIGHT_BYTES_MAX = 16 * 1024 * 1024
TRANSPORT_BYTES_MAX = 8 * 1024 * 1024  # What gRPC takes ahead of the server, at both ends.


async def ids_of(client: Client) -> list[str]:
    listed = await client.call("ListEvents", pb.ListEventsRequest(page_size=1_000))
    return [one.event.id for one in listed.events]


async def test_batches_are_acknowledged_in_order_and_counted(client: Client) -> None:
    stream = open_stream(client)
    for batch in range(1, 6):
        await stream.send(event(f"{batch}-a"), event(f"{batch}-b"), event("once"))
    answers = await stream.end()
    acked = [answer.acked_through for answer in answers]
    assert acked == sorted(set(acked)) and acked[-1] == 5
    assert stream.count() == (11, 4)
    assert sorted(await ids_of(client)) == sorted(
        ["once", *(f"{batch}-{name}" for batch in range(1, 6) for name in "ab")]
    )


async def test_the_token_of_an_answer_covers_all_that_was_acknowledged(client: Client) -> None:
    early = (await client.record(event("early"))).ack_token
    stream = open_stream(client)
    await stream.send(event("late"))
    late = (await stream.read_through(1)).ack_token
    await stream.send(event("early"))
    assert (await stream.read_through(2)).ack_token == late
    assert number_of(late) > number_of(early)
    await stream.end()
    again = open_stream(client)
    await again.send(event(""))
    assert number_of((await again.read_through(1)).ack_token) == 0
    await again.send(event("early"))
    assert (await again.read_through(2)).ack_token == early
    await again.end()


def number_of(ack_token: str) -> int:
    return int(base64.urlsafe_b64decode(ack_token + "==").split(b":")[1])


async def test_what_is_not_stored_is_named_by_batch_and_index(client: Client) -> None:
    stream = open_stream(client)
    await stream.send(event("a"), event("", type="x"), event("b", amount="1,5"))
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
    assert stream.count() == (3, 1) or stream.count() == (2, 2)
