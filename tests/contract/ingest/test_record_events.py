"""RecordEvents: a verdict for each event, in order, and nothing half done."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.contract.ingest.conftest import Client, Refusal

Event, Value = event_pb2.Event, event_pb2.PropertyValue
LONG = "x" * 256


def event(event_id: str = "e1", **changes: Any) -> event_pb2.Event:
    fields: dict[str, Any] = {"type": "api_call", "customer_id": "acme"}
    return Event(id=event_id, **(fields | changes))


def names(response: Any) -> list[str]:
    return [event_pb2.Verdict.Name(one.verdict)[len("VERDICT_") :] for one in response.verdicts]


def values(count: int) -> Mapping[str, event_pb2.PropertyValue]:
    return {f"k{n}": Value(text="x" * 1_000) for n in range(count)}


# One event for each reason: what is sent, why it is rejected, and the field at fault.
REJECTED: list[tuple[event_pb2.Event, str, str]] = [
    (event(""), "ID_MISSING", "id"),
    (event(type=""), "TYPE_MISSING", "type"),
    (event(customer_id=""), "CUSTOMER_MISSING", "customer_id"),
    (event(LONG), "FIELD_TOO_LARGE", "id"),
    (event(source=LONG), "FIELD_TOO_LARGE", "source"),
    (event(type=LONG), "FIELD_TOO_LARGE", "type"),
    (event(customer_id=LONG), "FIELD_TOO_LARGE", "customer_id"),
    (event(subscription_id=LONG), "FIELD_TOO_LARGE", "subscription_id"),
    (event(hold_id=LONG), "FIELD_TOO_LARGE", "hold_id"),
    (event("a\0b"), "TEXT_INVALID", "id"),
    (event(time=Timestamp(seconds=1, nanos=1)), "TIME_INVALID", "time"),
    (event(time=Timestamp(seconds=2**60)), "TIME_INVALID", "time"),
    (event(time=Timestamp(seconds=1)), "TIME_TOO_OLD", "time"),
    (event(time=Timestamp(seconds=9_000_000_000)), "TIME_TOO_NEW", "time"),
    (
        event(properties={f"k{n}": Value(flag=True) for n in range(65)}),
        "PROPERTIES_TOO_MANY",
        "properties",
    ),
    (event(properties={"": Value(flag=True)}), "PROPERTY_KEY_INVALID", "properties"),
    (event(properties={"k" * 65: Value(flag=True)}), "PROPERTY_KEY_INVALID", "properties"),
    (event(properties={"k": Value(text="x" * 1_025)}), "PROPERTY_TOO_LARGE", "properties.k"),
    (event(properties={"k": Value()}), "PROPERTY_INVALID", "properties.k"),
    (event(properties={"k": Value(decimal="1,5")}), "PROPERTY_INVALID", "properties.k"),
    (event(amount="1e30"), "AMOUNT_INVALID", "amount"),
    (event(properties=values(17)), "EVENT_TOO_LARGE", ""),
    (event(hold_id="std_1"), "ALREADY_PAID", "hold_id"),
]


async def test_every_reason_names_its_field_and_the_event_is_kept(client: Client) -> None:
    response = await client.record(*(sent for sent, _, _ in REJECTED), event("good"))
    assert names(response) == ["REJECTED"] * len(REJECTED) + ["ACCEPTED"]
    for (sent, reason, field), verdict in zip(REJECTED, response.verdicts, strict=False):
        name = event_pb2.RejectionReason.Name(verdict.reason)
        assert (name, verdict.field) == (f"REJECTION_REASON_{reason}", field), sent
        assert verdict.detail
    kept = await client.call("ListRejectedEvents", pb.ListRejectedEventsRequest(page_size=1_000))
    assert len(kept.events) == len(REJECTED)
    for sent, reason, field in REJECTED:
        [found] = [one for one in kept.events if one.event == sent]
        assert found.reason == event_pb2.RejectionReason.Value(f"REJECTION_REASON_{reason}")
        assert (found.field, found.times_sent) == (field, 1)


def test_the_table_has_every_reason_but_conflict() -> None:
    reasons = {name[len("REJECTION_REASON_") :] for name in event_pb2.RejectionReason.keys()}
    assert {reason for _, reason, _ in REJECTED} == reasons - {"UNSPECIFIED", "CONFLICT"}


async def test_a_repeat_is_a_duplicate_however_it_is_written(client: Client) -> None:
    first = event(properties={"n": Value(decimal="1.50"), "m": Value(text="a")})
    again = event(properties={"m": Value(text="a"), "n": Value(decimal="1.5")})
    token = (await client.record(first)).ack_token
    repeated = await client.record(again)
    assert names(repeated) == ["DUPLICATE"]
    assert repeated.ack_token == token
    stored = (await client.call("GetEvent", pb.GetEventRequest(id="e1"))).event
    assert base64.urlsafe_b64decode(token + "==") == b"0:%d" % stored.position.number


async def test_an_absent_time_stays_absent_for_the_comparison(client: Client) -> None:
    """Received at two instants, and still the same event."""
    assert names(await client.record(event())) == ["ACCEPTED"]
    assert names(await client.record(event())) == ["DUPLICATE"]
    stored = (await client.call("GetEvent", pb.GetEventRequest(id="e1"))).event
    assert stored.event.time == stored.received_at
    assert names(await client.record(event(time=stored.event.time))) == ["CONFLICT"]


async def test_another_content_is_a_conflict_and_is_kept(client: Client) -> None:
    await client.record(event())
    response = await client.record(event(type="other"), event(type="other"))
    assert names(response) == ["CONFLICT", "CONFLICT"]
    assert response.verdicts[0].field == "id"
    kept = await client.call("ListRejectedEvents", pb.ListRejectedEventsRequest())
    [conflict] = kept.events
    assert conflict.event == event(type="other")
    assert (conflict.reason, conflict.times_sent) == (event_pb2.REJECTION_REASON_CONFLICT, 2)
    stored = (await client.call("GetEvent", pb.GetEventRequest(id="e1"))).event
    assert stored.event.type == "api_call"


async def test_the_first_of_two_equal_ids_in_a_request_stands(client: Client) -> None:
    response = await client.record(event(), event(), event(type="other"), event("e2"))
    assert names(response) == ["ACCEPTED", "DUPLICATE", "CONFLICT", "ACCEPTED"]


async def test_an_atomic_request_is_stored_whole_or_not_at_all(client: Client) -> None:
    refused = await client.record(event("a"), event(""), atomic=True)
    assert names(refused) == ["NOT_STORED", "REJECTED"]
    assert base64.urlsafe_b64decode(refused.ack_token + "==") == b"0:0"
    stored = await client.record(event("a"), event("b"), atomic=True)
    assert names(stored) == ["ACCEPTED", "ACCEPTED"]
    with_repeat = await client.record(event("a"), event("c"), atomic=True)
    assert names(with_repeat) == ["DUPLICATE", "ACCEPTED"]
    conflicting = await client.record(event("d"), event("a", type="x"), atomic=True)
    assert names(conflicting) == ["NOT_STORED", "CONFLICT"]
    listed = await client.call("ListEvents", pb.ListEventsRequest())
    assert [one.event.id for one in listed.events] == ["a", "b", "c"]


async def test_a_source_makes_another_identity(client: Client) -> None:
    await client.record(event())
    assert names(await client.record(event(source="eu", type="other"))) == ["ACCEPTED"]


@pytest.mark.parametrize(
    ("events", "refusal"),
    [
        ([], Refusal("INVALID_ARGUMENT", "FIELD_INVALID", ["events"])),
        ([event()] * 10_001, Refusal("INVALID_ARGUMENT", "BATCH_TOO_LARGE", [])),
        ([event(type="x" * 850_000)] * 10, Refusal("INVALID_ARGUMENT", "BATCH_TOO_LARGE", [])),
    ],
    ids=["none", "10,001 events", "above 8 MiB"],
)
async def test_no_events_and_too_many_are_refused_whole(
    client: Client, events: list[event_pb2.Event], refusal: Refusal
) -> None:
    assert await client.refused("RecordEvents", pb.RecordEventsRequest(events=events)) == refusal


async def test_a_full_batch_is_accepted(client: Client) -> None:
    response = await client.record(*(event(f"e{n}", customer_id=f"c{n}") for n in range(10_000)))
    assert set(names(response)) == {"ACCEPTED"}
    assert len(response.verdicts) == 10_000


async def test_the_same_events_sent_by_many_at_once_are_stored_once(client: Client) -> None:
    batch = [event(f"e{n}") for n in range(100)]
    answers = await asyncio.gather(*(client.record(*batch) for _ in range(10)))
    verdicts = [names(answer) for answer in answers]
    for place in range(100):
        assert sorted(one[place] for one in verdicts) == ["ACCEPTED"] + ["DUPLICATE"] * 9
    listed = await client.call("ListEvents", pb.ListEventsRequest(page_size=1_000))
    assert len(listed.events) == 100
