"""What becomes of old events: billed they stay, their keys and months go, and all say so."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from pyarrow import parquet

from libs.wire import timestamp
from tally.ingest.v1.ingest_service_pb2 import (
    GetEventRequest,
    ListEventsRequest,
    StreamSegmentsRequest,
)
from tally.rating.v1.subscription_service_pb2 import TerminateSubscriptionRequest
from tally.rating.v1.usage_service_pb2 import (
    ExplainEventRequest,
    RebuildUsageRequest,
    VerifyUsageRequest,
)
from tests.scenario.builders import Line, invoices, lines, record, sell, subscribe, usage
from tests.suite import Suite

JANUARY, FEBRUARY = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 2, 1, tzinfo=UTC)
LOG_DAYS = 500
DUE = FEBRUARY + timedelta(days=LOG_DAYS)  # When the January of 2030 is dropped.


async def reason(failing: Awaitable[object] | AsyncIterable[object]) -> str:
    """Return why a call is refused; "" if it is not."""
    try:
        if isinstance(failing, AsyncIterable):
            async for _ in failing:
                pass
        else:
            await failing
    except grpc.aio.AioRpcError as error:
        info, status = ErrorInfo(), rpc_status.from_call(error)  # type: ignore[arg-type]
        for detail in status.details if status is not None else ():
            detail.Unpack(info)
        return f"{error.code().name}/{info.reason}"
    return ""


async def test_old_events_are_billed_once_and_their_log_goes(suite: Suite, tmp_path: Path) -> None:
    """January is exported and dropped; what was billed for it stays, and is not billed again."""
    suite.stack.stop_service("ingest")
    settings = {"INGEST_LOG_KEPT_DAYS": str(LOG_DAYS), "INGEST_EXPORT_FOLDER": str(tmp_path)}
    suite.stack.start_service("ingest", extra_env=settings)
    await suite.advance(JANUARY)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await subscribe(client, "acme", JANUARY)
        await suite.advance(JANUARY + timedelta(days=5))
        old = [usage("acme", JANUARY + timedelta(days=2), str(value)) for value in (3, 4)]
        assert await record(client, old) == ["ACCEPTED"] * 2
        await suite.advance(FEBRUARY + timedelta(days=1))
        stop = TerminateSubscriptionRequest(request_id=str(uuid4()), subscription_id="acme-pro")
        await client.subscriptions.TerminateSubscription(stop)
        billed = [lines(invoice) for invoice in await invoices(client)]
        assert [Line("calls", "7", 7)] in billed

        await suite.advance(DUE)
        assert sorted(one.name for one in tmp_path.iterdir()) == ["events-2030-01.shard-0.parquet"]
        exported = parquet.read_table(tmp_path, columns=["id"]).to_pydict()["id"]
        assert sorted(exported) == sorted(event.id for event in old)
        assert await record(client, old) == ["REJECTED"] * 2
        assert [lines(one) for one in await invoices(client)][: len(billed)] == billed

        gone = "FAILED_PRECONDITION/LOG_TRIMMED"
        asked = {"source": "", "id": old[0].id}
        unknown = "NOT_FOUND/EVENT_NOT_FOUND"
        assert await reason(client.ingest.GetEvent(GetEventRequest(**asked))) == unknown
        assert await reason(client.usage.ExplainEvent(ExplainEventRequest(**asked))) == unknown
        assert await reason(client.ingest.ListEvents(ListEventsRequest())) == gone
        assert await reason(client.usage.VerifyUsage(VerifyUsageRequest())) == gone
        rebuild = RebuildUsageRequest(request_id=str(uuid4()), customer_id="acme")
        assert await reason(client.usage.RebuildUsage(rebuild)) == gone

        later = ListEventsRequest(start=timestamp(FEBRUARY))
        assert not (await client.ingest.ListEvents(later)).events
        await subscribe(client, "acme", DUE, subscription_id="again")
        new = usage("acme", DUE, "5")
        assert await record(client, [new, new]) == ["ACCEPTED", "DUPLICATE"]
        assert [one.event.id for one in (await client.ingest.ListEvents(later)).events] == [new.id]
        await suite.advance(DUE + timedelta(days=31))
        assert [Line("calls", "5", 5)] in [lines(invoice) for invoice in await invoices(client)]
    async with suite.internal() as client:
        streams = [
            client.ingest.StreamSegments(StreamSegmentsRequest(shard=0, partition=partition))
            for partition in range(4)
        ]
        assert sorted([await reason(stream) for stream in streams]) == ["", "", "", gone]
