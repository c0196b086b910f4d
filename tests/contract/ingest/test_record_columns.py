"""RecordColumns: what RecordEvents does, with counts and exceptions for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tally.ingest.v1.bulk_pb2 import RecordColumnsRequest
from tally.ingest.v1.event_columns_pb2 import EventColumns
from tests.columns import columns_of, short
from tests.contract.ingest.conftest import Client, Refusal
from tests.contract.ingest.test_record_events import REJECTED, Value, event

GOOD = [
    event("a", properties={"n": Value(decimal="1.50"), "m": Value(text="a")}),
    event("b", source="eu", properties={"ok": Value(flag=True), "n": Value(decimal="1e3")}),
    event("c", amount="12.3400", subscription_id="s", hold_id="h"),
]


async def record(client: Client, *events: event_pb2.Event, atomic: bool = False) -> Any:
    """Record `events` as columns."""
    return await send(client, short(columns_of(events)), atomic=atomic)


async def send(client: Client, columns: EventColumns, *, atomic: bool = False) -> Any:
    return await client.call("RecordColumns", RecordColumnsRequest(columns=columns, atomic=atomic))


def told(response: Any) -> tuple[int, int, Sequence[tuple[int, str]]]:
    """Return the counts of an answer, and the verdict on each exception."""
    exceptions = [
        (one.index, event_pb2.Verdict.Name(one.verdict)[len("VERDICT_") :])
        for one in response.exceptions
    ]
    return response.accepted_count, response.duplicate_count, exceptions


async def stored(client: Client) -> list[event_pb2.Event]:
    listed = await client.call("ListEvents", pb.ListEventsRequest(page_size=1_000))
    return [one.event for one in listed.events]


async def test_events_are_stored_as_if_they_came_one_by_one(
    client: Client, other_client: Client
) -> None:
    now = Timestamp()
    now.GetCurrentTime()
    now.nanos = now.nanos // 1_000 * 1_000
    timed = [event(one.id, time=now, type="timed") for one in GOOD[:1]]
    events = [*GOOD[1:], *timed]
    assert told(await record(client, *events)) == (3, 0, [])
    await other_client.record(*events)
    found, expected = await stored(client), await stored(other_client)
    for one, other in zip(found[:2], expected[:2], strict=True):
        one.time.CopyFrom(other.time)  # Those without a time were received at two instants.
    assert found == expected


async def test_a_repeat_is_a_duplicate_in_whichever_form_it_comes(client: Client) -> None:
    token = (await record(client, *GOOD)).ack_token
    again = await client.record(*GOOD)
    assert {one.verdict for one in again.verdicts} == {event_pb2.VERDICT_DUPLICATE}
    assert told(await record(client, *GOOD)) == (0, 3, [])
    await client.record(event("rows first"))
    assert told(await record(client, event("rows first"), event("new"))) == (1, 1, [])
    assert again.ack_token == token


async def test_what_is_wrong_with_an_event_is_its_own(client: Client) -> None:
    """The same reason, field and detail as in a row, and the same event is kept."""
    # A time finer than a microsecond cannot be said in columns.
    bad = [(sent, reason) for sent, reason, _ in REJECTED if sent.time.nanos != 1]
    bad = [one for one in bad if one[0].time.seconds < 2**60]
    sent = [one for one, _ in bad]
    response = await record(client, *sent, event("good"), event("good", type="other"))
    assert (response.accepted_count, response.duplicate_count) == (1, 0)
    *rejected, conflict = response.exceptions
    assert [one.index for one in rejected] == list(range(len(sent)))
    reasons = [event_pb2.RejectionReason.Name(one.reason) for one in rejected]
    assert reasons == [f"REJECTION_REASON_{reason}" for _, reason in bad]
    assert (conflict.index, conflict.verdict) == (len(sent) + 1, event_pb2.VERDICT_CONFLICT)
    rows = await client.record(*sent)
    for of_columns, of_rows in zip(rejected, rows.verdicts, strict=True):
        assert of_columns.verdict == of_rows.verdict == event_pb2.VERDICT_REJECTED
        assert (of_columns.reason, of_columns.field) == (of_rows.reason, of_rows.field)
        assert of_columns.detail.split(" s ")[-1] == of_rows.detail.split(" s ")[-1]
    kept = await client.call("ListRejectedEvents", pb.ListRejectedEventsRequest(page_size=1_000))
    assert {one.times_sent for one in kept.events if one.event.id != "good"} == {2}
    assert len(kept.events) == len(sent) + 1


async def test_an_atomic_batch_is_stored_whole_or_not_at_all(client: Client) -> None:
    refused = await record(client, event("a"), event(""), atomic=True)
    assert told(refused) == (0, 0, [(0, "NOT_STORED"), (1, "REJECTED")])
    assert told(await record(client, event("a"), event("b"), atomic=True)) == (2, 0, [])
    assert told(await record(client, event("a"), event("c"), atomic=True)) == (1, 1, [])
    assert [one.id for one in await stored(client)] == ["a", "b", "c"]


async def test_columns_and_rows_that_come_together_are_stored_once(client: Client) -> None:
    batch = [event(f"e{n}") for n in range(50)]
    answers = await asyncio.gather(
        *(record(client, *batch) for _ in range(5)), *(client.record(*batch) for _ in range(5))
    )
    columns, rows = answers[:5], answers[5:]
    accepted = sum(one.accepted_count for one in columns)
    accepted += sum(
        judged.verdict == event_pb2.VERDICT_ACCEPTED for one in rows for judged in one.verdicts
    )
    assert accepted == 50
    assert len(await stored(client)) == 50


async def test_columns_that_do_not_fit_store_nothing(client: Client) -> None:
    columns = columns_of(GOOD)
    columns.types.pop()
    columns.untimed.append(99)
    refused = await client.refused("RecordColumns", RecordColumnsRequest(columns=columns))
    fields = ["columns.types", "columns.untimed"]
    assert refused == Refusal("INVALID_ARGUMENT", "FIELD_INVALID", fields)
    assert await stored(client) == []


@pytest.mark.parametrize(
    ("columns", "refusal"),
    [
        (EventColumns(texts=[""]), Refusal("INVALID_ARGUMENT", "FIELD_INVALID", ["columns.ids"])),
        (
            EventColumns(texts=[""], ids=["x"] * 10_001),
            Refusal("INVALID_ARGUMENT", "BATCH_TOO_LARGE", []),
        ),
        (
            EventColumns(texts=["", "x" * 8_400_000], ids=["x"]),
            Refusal("INVALID_ARGUMENT", "BATCH_TOO_LARGE", []),
        ),
    ],
    ids=["none", "10,001 events", "above 8 MiB"],
)
async def test_no_events_and_too_many_are_refused_whole(
    client: Client, columns: EventColumns, refusal: Refusal
) -> None:
    assert await client.refused("RecordColumns", RecordColumnsRequest(columns=columns)) == refusal
