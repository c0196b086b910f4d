"""GetEvent, ListEvents, ListRejectedEvents: a tenant finds its own events, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tally.ingest.v1 import event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.contract.ingest.conftest import Client, Refusal
from tests.contract.ingest.test_record_events import Value, event

NOW = datetime.now(UTC).replace(microsecond=0)
LONG = "x" * 256


def at(hours: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(NOW + timedelta(hours=hours))
    return stamp


async def listed(client: Client, **choice: Any) -> list[str]:
    """Return the ids of all pages."""
    ids: list[str] = []
    token = ""
    while True:
        request = pb.ListEventsRequest(page_token=token, **choice)
        answer = await client.call("ListEvents", request)
        ids += [stored.event.id for stored in answer.events]
        token = answer.next_page_token
        if not token:
            return ids


async def test_an_event_comes_back_as_it_was_sent(client: Client) -> None:
    sent = event(
        source="eu",
        time=at(-1),
        subscription_id="s1",
        amount="12.50",
        hold_id="sub_1",
        properties={
            "text": Value(text="ü"),
            "small": Value(decimal="-0.0010"),
            "large": Value(decimal="123456789012345678901234567890.5"),
            "power": Value(decimal="5e3"),
            "flag": Value(flag=False),
        },
    )
    await client.record(event("first"), sent)
    stored = (await client.call("GetEvent", pb.GetEventRequest(source="eu", id="e1"))).event
    expected = event_pb2.Event()
    expected.CopyFrom(sent)
    expected.amount = "12.5"
    expected.properties["small"].decimal = "-0.001"
    expected.properties["power"].decimal = "5000"
    assert stored.event == expected
    assert stored.position.number > 0 and stored.position.index == 1
    assert NOW <= stored.received_at.ToDatetime(tzinfo=UTC)


async def test_another_tenants_event_is_not_found(client: Client, other_client: Client) -> None:
    await client.record(event())
    refusal = await other_client.refused("GetEvent", pb.GetEventRequest(id="e1"))
    assert refusal == Refusal("NOT_FOUND", "EVENT_NOT_FOUND", [])
    await other_client.record(event("e2"))
    assert await listed(other_client) == ["e2"]
    assert await listed(client) == ["e1"]


async def test_events_come_in_log_order_page_by_page(client: Client) -> None:
    sent = [f"e{n:02}" for n in range(25)]
    for start in range(0, 25, 5):
        batch = [event(one, customer_id=f"c{one}") for one in sent[start : start + 5]]
        await client.record(*batch)
    for page_size in (1, 3, 10, 25, 0):
        assert await listed(client, page_size=page_size) == sent


async def test_a_page_of_large_events_is_cut_and_goes_on(client: Client) -> None:
    properties = {f"k{n}": Value(text="x" * 1_000) for n in range(15)}
    sent = [event(f"e{n}", properties=properties) for n in range(300)]
    await client.record(*sent)
    first = await client.call("ListEvents", pb.ListEventsRequest(page_size=1_000))
    assert 0 < len(first.events) < 300
    assert first.next_page_token
    assert await listed(client, page_size=1_000) == [one.id for one in sent]


async def test_filters_choose(client: Client) -> None:
    await client.record(
        event("a", customer_id="c1", time=at(-3)),
        event("b", customer_id="c2", subscription_id="s1", time=at(-2)),
        event("c", customer_id="c1", type="other", subscription_id="s1", time=at(-1)),
    )
    assert await listed(client, customer_id="c1") == ["a", "c"]
    assert await listed(client, subscription_id="s1") == ["b", "c"]
    assert await listed(client, type="other") == ["c"]
    assert await listed(client, start=at(-2)) == ["b", "c"]
    assert await listed(client, end=at(-2)) == ["a"]
    assert await listed(client, customer_id="c1", start=at(-2), page_size=1) == ["c"]
    assert await listed(client, customer_id="nobody") == []


async def test_rejected_events_come_newest_first_page_by_page(client: Client) -> None:
    for place in range(5):
        await client.record(event("", customer_id=f"c{place}"), event(f"g{place}"))
    await client.record(event("g0", type="other", customer_id="c0"))
    pages: list[list[str]] = []
    token = ""
    while True:
        request = pb.ListRejectedEventsRequest(page_size=2, page_token=token)
        answer = await client.call("ListRejectedEvents", request)
        pages.append([one.event.customer_id for one in answer.events])
        token = answer.next_page_token
        if not token:
            break
    assert pages == [["c0", "c4"], ["c3", "c2"], ["c1", "c0"]]
    chosen = pb.ListRejectedEventsRequest(
        customer_id="c0", reason=event_pb2.REJECTION_REASON_ID_MISSING
    )
    [only] = (await client.call("ListRejectedEvents", chosen)).events
    assert only.reason == event_pb2.REJECTION_REASON_ID_MISSING


async def test_rejected_events_of_another_tenant_are_not_seen(
    client: Client, other_client: Client
) -> None:
    await client.record(event(""))
    answer = await other_client.call("ListRejectedEvents", pb.ListRejectedEventsRequest())
    assert not answer.events


FINE = Timestamp(seconds=1, nanos=1)


@pytest.mark.parametrize(
    ("method", "request_message", "reason", "fields"),
    [
        ("GetEvent", pb.GetEventRequest(), "FIELD_INVALID", ["id"]),
        ("GetEvent", pb.GetEventRequest(id=LONG), "FIELD_INVALID", ["id"]),
        ("GetEvent", pb.GetEventRequest(id="a", source=LONG), "FIELD_INVALID", ["source"]),
        ("ListEvents", pb.ListEventsRequest(customer_id=LONG), "FIELD_INVALID", ["customer_id"]),
        ("ListEvents", pb.ListEventsRequest(start=FINE), "FIELD_INVALID", ["start"]),
        ("ListEvents", pb.ListEventsRequest(end=FINE), "FIELD_INVALID", ["end"]),
        ("ListEvents", pb.ListEventsRequest(page_size=-1), "FIELD_INVALID", ["page_size"]),
        ("ListEvents", pb.ListEventsRequest(page_token="?"), "PAGE_TOKEN_INVALID", []),
        ("ListEvents", pb.ListEventsRequest(page_token="WzAsMF0"), "PAGE_TOKEN_INVALID", []),
        (
            "ListRejectedEvents",
            pb.ListRejectedEventsRequest(reason=99),  # type: ignore[arg-type]
            "FIELD_INVALID",
            ["reason"],
        ),
        (
            "ListRejectedEvents",
            pb.ListRejectedEventsRequest(page_token="WzEsMV0"),
            "PAGE_TOKEN_INVALID",
            [],
        ),
    ],
)
async def test_bad_requests_are_refused_by_field(
    client: Client, method: str, request_message: Message, reason: str, fields: list[str]
) -> None:
    refusal = await client.refused(method, request_message)
    assert refusal == Refusal("INVALID_ARGUMENT", reason, fields)
