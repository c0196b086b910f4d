"""GetHeads and StreamSegments: what rating relies on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from services.ingest.domain.columns import decode
from services.ingest.store.slice_content import unpack_content
from tally.ingest.v1 import ingest_service_pb2 as pb
from tests.contract.ingest.conftest import Client, Refusal
from tests.contract.ingest.test_record_events import event


async def test_slices_hold_every_event_in_a_chain_up_to_the_head(
    client: Client, other_client: Client, internal: Client
) -> None:
    [start] = (await internal.call("GetHeads", pb.GetHeadsRequest())).heads
    for batch in range(5):
        sent = [event(f"{batch}-{n}", customer_id=f"c{batch * 2 + n}") for n in range(3)]
        await client.record(*sent)
    await other_client.record(event("other"))
    before = datetime.now(UTC)
    [head] = (await internal.call("GetHeads", pb.GetHeadsRequest())).heads
    assert (head.shard, head.number) == (0, start.number + 6)
    assert head.through.ToDatetime(tzinfo=UTC) >= before
    ids: list[str] = []
    for partition, newest in enumerate(head.slice_numbers):
        previous = start.slice_numbers[partition]
        for part in await internal.slices(partition, after=previous):
            assert (part.previous_number, part.partition) == (previous, partition)
            previous = part.number
            logged = decode(unpack_content(part.content))
            assert len(logged) == part.event_count
            ids += [one.event.id for one in logged]
        assert previous == newest
        assert await internal.slices(partition, after=newest) == []
    assert sorted(ids) == [f"{batch}-{n}" for batch in range(5) for n in range(3)] + ["other"]


async def test_a_slice_carries_the_trace_of_the_request_that_filled_it(
    client: Client, internal: Client
) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    traced = replace(client, traceparent=f"00-{trace_id}-{span_id}-01")
    await traced.record(event("traced"))
    [head] = (await internal.call("GetHeads", pb.GetHeadsRequest())).heads
    partition = list(head.slice_numbers).index(head.number)
    [part] = await internal.slices(partition, after=head.number - 1)
    version, trace, span, _ = part.traceparent.split("-")
    assert (version, trace) == ("00", trace_id)
    assert span != span_id  # The seal's own, below the request's.


async def test_they_are_for_services_of_the_suite_only(client: Client) -> None:
    refusal = await client.refused("GetHeads", pb.GetHeadsRequest())
    assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")


async def test_places_that_do_not_exist_are_refused(internal: Client) -> None:
    invalid = ("INVALID_ARGUMENT", "FIELD_INVALID")
    heads = await internal.refused("GetHeads", pb.GetHeadsRequest(shards=[0, 1]))
    assert heads == Refusal(*invalid, ["shards[1]"])
    requests: list[tuple[pb.StreamSegmentsRequest, str]] = [
        (pb.StreamSegmentsRequest(shard=1), "shard"),
        (pb.StreamSegmentsRequest(partition=4), "partition"),
        (pb.StreamSegmentsRequest(after_number=-1), "after_number"),
    ]
    for request, field in requests:
        assert await internal.refused_stream(request) == Refusal(*invalid, [field])


async def test_an_internal_call_names_its_tenant(internal: Client) -> None:
    refusal = await internal.refused("ListEvents", pb.ListEventsRequest())
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "TENANT_MISSING")
