"""A producer's events are each stored once, or it says which are not."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tally.ingest.v1.ingest_service_pb2 import ListEventsRequest
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import record, sell, subscribe
from tests.slow.sdk.certificate import make_certificate
from tests.slow.sdk.gate import Gate
from tests.slow.sdk.producers import (
    Module,
    record_many,
    settings,
    stored,
    tally,
    until_accepted,
)
from tests.suite import Suite
from tests.wait import until

METHOD = "ingest.v1.IngestService/RecordColumns"


async def test_usage_is_what_was_recorded_though_ingest_is_killed_meanwhile(
    suite: Suite, client_module: Module
) -> None:
    part, count, start = 5_000, 20_000, datetime.now(UTC) - timedelta(days=1)
    tenant = suite.new_tenant()
    async with suite.client(tenant) as client:
        await sell(client)
        await subscribe(client, "acme", start - timedelta(days=1))
        options = settings(client_module, batch_events_max=500, block_seconds=60)
        with tally(client_module, suite, tenant) as it, it.producer(options) as producer:
            for first in range(0, count, part):
                await until_accepted(producer, first - part + 1)  # Others are on their way.
                await asyncio.to_thread(suite.stack.kill, "ingest")
                before = producer.report().retried
                await asyncio.to_thread(record_many, producer, part, start, first=first)
                await until(partial(retried_above, producer, before))
                await asyncio.to_thread(suite.stack.start_service, "ingest")
            await asyncio.to_thread(producer.flush, 60)
            report = producer.report()
        assert (report.recorded, report.waiting, report.rejected) == (count, 0, 0)
        assert report.accepted + report.duplicates == count
        await suite.settle()
        got = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
    assert Decimal(got.fees[0].units) == sum(Decimal(n) / 4 for n in range(count))


def retried_above(producer: Any, before: int) -> bool:
    """Tell whether more was sent again than `before`."""
    return bool(producer.report().retried > before)


async def test_a_recorded_event_is_the_one_that_its_row_would_be(
    suite: Suite, client_module: Module
) -> None:
    tenant, now = suite.new_tenant(), datetime.now(UTC)
    values: dict[str, Any] = {
        "text": "é",
        "empty": "",
        "whole": 7,
        "decimal": Decimal("-1.50"),
        "long": Decimal("12345678901234567890.125"),
        "power": Decimal("1E+3"),
        "yes": True,
        "no": False,
    }
    row = Event(
        id="a",
        source="web",
        type="call",
        customer_id="acme",
        subscription_id="acme-1",
        amount="0.25",
        hold_id="h",
        time=timestamp(now),
        properties={
            "text": PropertyValue(text="é"),
            "empty": PropertyValue(text=""),
            "whole": PropertyValue(decimal="7"),
            "decimal": PropertyValue(decimal="-1.5"),
            "long": PropertyValue(decimal="12345678901234567890.125"),
            "power": PropertyValue(decimal="1000"),
            "yes": PropertyValue(flag=True),
            "no": PropertyValue(flag=False),
        },
    )
    texts = {"id": "a", "source": "web", "subscription_id": "acme-1", "hold_id": "h"}
    with tally(client_module, suite, tenant) as it, it.producer() as producer:
        named = {"type": "call", "customer_id": "acme", "amount": Decimal("0.25"), "time": now}
        producer.record(**texts, **named, properties=values)
        producer.record(id="bare", type="call", customer_id="acme")
    async with suite.client(tenant) as client:
        bare = Event(id="bare", type="call", customer_id="acme")
        assert await record(client, [row, bare]) == ["DUPLICATE", "DUPLICATE"]
        row.properties["whole"].decimal = "8"
        assert await record(client, [row]) == ["CONFLICT"]


async def test_rejected_events_are_reported_and_the_others_stored(
    suite: Suite, client_module: Module
) -> None:
    told: list[Any] = []
    tenant = suite.new_tenant()
    with tally(client_module, suite, tenant) as it:
        with it.producer(on_rejected=told.append) as producer:
            producer.record(id="good", type="call", customer_id="acme")
            producer.record(
                id="old", type="call", customer_id="acme", time=datetime(2001, 1, 1, tzinfo=UTC)
            )
            producer.record(id="last", type="call", customer_id="acme", source="web")
            producer.flush()
            producer.record(id="last", type="chat", customer_id="acme", source="web")
        report = producer.report()
    assert report.rejections == tuple(told)
    old, other = told
    assert (old.index, old.id, old.verdict, old.reason) == (1, "old", "REJECTED", "TIME_TOO_OLD")
    assert old.field == "time" and "max_age" in old.detail
    assert (other.index, other.id, other.source, other.verdict) == (3, "last", "web", "CONFLICT")
    assert (report.recorded, report.accepted, report.rejected, report.waiting) == (4, 2, 2, 0)


async def test_what_is_not_answered_well_is_sent_again_with_the_same_ids(
    suite: Suite, client_module: Module, tmp_path: Path
) -> None:
    answers = [
        {"code": "RESOURCE_EXHAUSTED", "retryDelayMs": 1_200},
        {"code": "DEADLINE_EXCEEDED", "after": True},
        {"hangUp": True},
    ]
    tenant = suite.new_tenant()
    gate = Gate(suite.stack.addresses, {"answers": answers}, make_certificate(tmp_path)[0])
    async with gate.listening() as address:
        it = tally(client_module, suite, tenant, address)
        with it.producer(settings(client_module, in_flight_max=1)) as producer:
            began = time.monotonic()
            ids = [producer.record(type="call", customer_id="acme") for _ in range(10)]
            await asyncio.to_thread(producer.flush)
            report = producer.report()
        it.close()
    assert time.monotonic() - began > 1.2
    assert gate.seen[METHOD].attempts == 4
    assert (report.accepted, report.duplicates, report.waiting) == (0, 10, 0)
    assert report.retried in (2, 3)  # A connection that broke may be gRPC's to mend.
    async with suite.client(tenant) as client:
        stored = (await client.ingest.ListEvents(ListEventsRequest())).events
    assert sorted(one.event.id for one in stored) == sorted(ids)


async def test_a_batch_that_is_refused_is_halved_until_the_event_at_fault_is_alone(
    suite: Suite, client_module: Module, tmp_path: Path
) -> None:
    bad = {"code": "INVALID_ARGUMENT", "reason": "FIELD_INVALID"}
    script = {"answers": [bad, bad, {}, bad]}
    gate = Gate(suite.stack.addresses, script, make_certificate(tmp_path)[0])
    async with gate.listening() as address:
        it = tally(client_module, suite, suite.new_tenant(), address)
        with it.producer(settings(client_module, in_flight_max=1)) as producer:
            for name in "abcd":
                producer.record(id=name, type="call", customer_id="acme")
            await asyncio.to_thread(producer.flush)
            report = producer.report()
        it.close()
    assert (report.accepted, report.rejected, report.waiting) == (3, 1, 0)
    assert [(one.index, one.id, one.reason) for one in report.rejections] == [
        (0, "a", "FIELD_INVALID")
    ]


def test_threads_share_a_producer(suite: Suite, client_module: Module) -> None:
    start = datetime.now(UTC)
    with tally(client_module, suite, suite.new_tenant()) as it:
        with it.producer(settings(client_module, batch_events_max=100)) as producer:
            with ThreadPoolExecutor(8) as pool:
                for _ in range(8):
                    pool.submit(record_many, producer, 500, start, made=True)
    report = producer.report()
    assert (report.accepted, report.duplicates, report.rejected) == (4_000, 0, 0)


async def test_asyncio_has_a_producer_too(
    suite: Suite, client_module: Module, tmp_path: Path
) -> None:
    producing, tenant = client_module("producing"), suite.new_tenant()
    script = {"answers": [{"code": "DEADLINE_EXCEEDED", "after": True}, {"code": "INTERNAL"}]}
    gate = Gate(suite.stack.addresses, script, make_certificate(tmp_path)[0])
    async with gate.listening() as address:
        it = client_module("").AsyncTally(address, token=suite.token(tenant))
        bounds = {"batch_events_max": 10, "buffer_events_max": 20, "in_flight_max": 2}
        async with it, it.producer(settings(client_module, **bounds)) as producer:
            for _ in range(100):
                await producer.record(type="call", customer_id="acme")
            await producer.record(
                id="old", type="call", customer_id="acme", time=datetime(2001, 1, 1, tzinfo=UTC)
            )
            await producer.flush()
            report = producer.report()
    assert report.accepted + report.duplicates == 100
    assert (report.duplicates >= 10, report.retried, report.rejected) == (True, 2, 1)
    with pytest.raises(producing.ProducerClosed):
        await producer.record(type="call", customer_id="acme")
    async with suite.client(tenant) as client:
        assert await stored(client) == 100
