"""`tally usage rebuild` puts right what was broken by hand, from the event log."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from cli.client import SuiteClient, refusal
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.rating.v1.usage_service_pb2 import GetUsageRequest, RebuildUsageRequest
from tests.corrupting import corrupt
from tests.scenario.builders import amend, sell, subscribe, usage
from tests.suite import Suite

BREAK = "UPDATE cells SET total = total + 100, event_count = event_count + 1"


async def used(client: SuiteClient, ack_token: str = "") -> tuple[str, int]:
    """Return the units and events of acme's current period."""
    asked = GetUsageRequest(subscription_id="acme-pro", ack_token=ack_token)
    [fee] = (await client.usage.GetUsage(asked)).fees
    return fee.units, fee.event_count


async def test_usage_broken_by_hand_is_rebuilt_by_the_command(suite: Suite) -> None:
    tenant = suite.new_tenant()
    now = datetime.now(UTC)
    owner = suite.database_url("rating", "owner")
    async with suite.client(tenant) as client:
        await sell(client)
        await subscribe(client, "acme", now - timedelta(hours=2))
        events = [usage("acme", now - timedelta(minutes=n), "2") for n in range(3)]
        await client.ingest.RecordEvents(RecordEventsRequest(events=events))
        events[0].properties["value"].decimal = "5"
        await amend(client, events[0])
        more = RecordEventsRequest(events=[usage("acme", now, "1")])
        ack_token = (await client.ingest.RecordEvents(more)).ack_token
        assert await used(client, ack_token) == ("10", 4)
        await corrupt(owner, tenant, "cells", BREAK)
        assert await used(client) != ("10", 4)
        ran = await tally(suite, "rebuild", "--customer", "acme", "--tenant", str(tenant))
        assert ran.exit_code == 0, ran.output
        rows = [line.split() for line in ran.stdout.splitlines()]
        assert ["customers", "1"] in rows and ["events", "4"] in rows
        assert await used(client) == ("10", 4)
        again = await tally(suite, "rebuild", "--all", "--tenant", str(tenant), "--json")
        assert json.loads(again.stdout)["changed_cell_count"] == "0"
    shown = await tally(suite, "acme-pro", "--tenant", str(tenant))
    assert "10" in shown.stdout and shown.exit_code == 0, "a subscription is shown by its name"
    assert (await tally(suite, "rebuild")).exit_code == 2, "nobody was named"


async def test_a_bad_request_to_rebuild_is_refused_with_all_its_faults(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        bad = RebuildUsageRequest(request_id="x", customer_id="c" * 300)
        assert await refused(client, bad) == {"request_id", "customer_id"}
        nul = RebuildUsageRequest(request_id=str(uuid4()), customer_id="\x00")
        assert await refused(client, nul) == {"customer_id"}
    async with suite.client(suite.new_tenant(), scopes=["usage:read"]) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in client.usage.RebuildUsage(RebuildUsageRequest(request_id=str(uuid4()))):
                pass
        assert refusal(caught.value).reason == "SCOPE_MISSING"


async def refused(client: SuiteClient, request: RebuildUsageRequest) -> set[str]:
    """Return the fields at fault."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in client.usage.RebuildUsage(request):
            pass
    found = refusal(caught.value)
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    return set(found.fields)


async def tally(suite: Suite, *words: str) -> Result:
    """Run `tally usage`, in a thread: a command runs an event loop of its own."""
    env = {"TALLY_HOME": str(suite.stack.folder), "TALLY_TOKEN": ""}
    return await asyncio.to_thread(CliRunner(env=env).invoke, main, ["usage", *words])
