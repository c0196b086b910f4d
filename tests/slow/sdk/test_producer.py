"""A producer's events are each stored once, or it says which are not; it never waits for ever."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cli.client import SuiteClient
from deploy.embedded.ports import choose_port
from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tally.ingest.v1.ingest_service_pb2 import ListEventsRequest
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import record, sell, subscribe
from tests.slow.sdk.certificate import make_certificate
from tests.slow.sdk.conftest import built, run
from tests.slow.sdk.gate import Gate
from tests.suite import Suite
from tests.wait import until

Module = Callable[[str], Any]
METHOD = "ingest.v1.IngestService/RecordColumns"

# A process that ends without closing its producer, and one that forks meanwhile.
ENDING = """
import os
from tally_client import Tally
producer = Tally(os.environ["AT"], token=os.environ["TOKEN"]).producer()
for number in range(100):
    producer.record(id=f"ending-{number}", type="call", customer_id="acme")
"""
FORKING = """
import os, sys
from tally_client import Tally
from tally_client.producing import ProducerClosed
producer = Tally(os.environ["AT"], token=os.environ["TOKEN"]).producer()
producer.record(id="before", type="call", customer_id="acme")
child = os.fork()
if not child:
    try:
        producer.record(id="of the child", type="call", customer_id="acme")
    except ProducerClosed as error:
        print(error, flush=True)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
producer.record(id="after", type="call", customer_id="acme")
producer.close()
print(producer.report().accepted)
"""


async def test_usage_is_what_was_recorded_though_ingest_is_killed_meanwhile(
    suite: Suite, client_module: Module
) -> None:
    count, start = 20_000, datetime.now(UTC) - timedelta(days=1)
    tenant = suite.new_tenant()
    async with suite.client(tenant) as client:
        await sell(client)
        await subscribe(client, "acme", start - timedelta(days=1))
        options = settings(client_module, batch_events_max=500, block_seconds=60)
        with tally(client_module, suite, tenant) as it, it.producer(options) as producer:
            recording = asyncio.create_task(asyncio.to_thread(record_many, producer, count, start))
            for kill in range(1, 4):
                await until(lambda kill=kill: producer.report().accepted > kill * count // 5)
                await asyncio.to_thread(suite.stack.kill, "ingest")
                await asyncio.to_thread(suite.stack.start_service, "ingest")
            await recording
            await asyncio.to_thread(producer.flush, 60)
            report = producer.report()
        assert (report.recorded, report.waiting, report.rejected) == (count, 0, 0)
        assert report.accepted + report.duplicates == count
        assert report.retried > 0
        await suite.settle()
        got = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
    assert Decimal(got.fees[0].units) == sum(Decimal(n) / 4 for n in range(count))


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
    tenant, told = suite.new_tenant(), []
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


def test_a_full_buffer_raises_after_its_bound_and_what_is_not_sent_is_handed_back(
    suite: Suite, client_module: Module
) -> None:
    producing, tenant = client_module("producing"), suite.new_tenant()
    nowhere = tally(client_module, suite, tenant, f"127.0.0.1:{choose_port()}")
    bounds = {"batch_events_max": 2, "buffer_events_max": 5, "block_seconds": 0.3}
    producer = nowhere.producer(settings(client_module, **bounds))
    ids = [producer.record(type="call", customer_id="acme") for _ in range(5)]
    began = time.monotonic()
    with pytest.raises(producing.BufferFull, match="5 events wait"):
        producer.record(type="call", customer_id="acme")
    assert 0.3 <= time.monotonic() - began < 3
    with pytest.raises(producing.NotSent):
        producer.flush(0.1)
    began = time.monotonic()
    with pytest.raises(producing.NotSent, match="5 events") as failed:
        producer.close(0.2)
    assert time.monotonic() - began < 3
    assert [event.id for event in failed.value.events] == ids
    with pytest.raises(producing.ProducerClosed):
        producer.record(type="call", customer_id="acme")
    request = client_module("ingest.v1").RecordEventsRequest(events=failed.value.events)
    with tally(client_module, suite, tenant) as it:
        verdicts = it.ingest.record_events(request).verdicts
    assert {one.verdict for one in verdicts} == {
        client_module("ingest.v1").Verdict.VERDICT_ACCEPTED
    }


def test_a_blocked_record_goes_on_when_there_is_room(suite: Suite, client_module: Module) -> None:
    bounds = {"batch_events_max": 10, "buffer_events_max": 10, "linger_seconds": 0}
    with tally(client_module, suite, suite.new_tenant()) as it:
        with it.producer(settings(client_module, **bounds)) as producer:
            for _ in range(200):
                producer.record(type="call", customer_id="acme")
        assert producer.report().accepted == 200


def test_a_token_that_is_refused_is_told_at_once_and_can_be_mended(
    suite: Suite, client_module: Module
) -> None:
    producing, tokens = client_module("producing"), [""]
    it = client_module("").Tally(suite.stack.addresses, token=lambda: tokens[-1])
    producer = it.producer()
    producer.record(type="call", customer_id="acme")
    began = time.monotonic()
    with pytest.raises(producing.NotSent, match="UNAUTHENTICATED"):
        producer.flush()
    assert time.monotonic() - began < 10
    tokens.append(suite.token(suite.new_tenant()))
    producer.flush()
    assert producer.report().accepted == 1
    producer.close()
    it.close()


async def test_events_leave_by_themselves_after_a_while(
    suite: Suite, client_module: Module
) -> None:
    with tally(client_module, suite, suite.new_tenant()) as it, it.producer() as producer:
        for number in range(3):
            producer.record(type="call", customer_id="acme")
            await until(lambda number=number: producer.report().accepted == number + 1)


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


async def test_asyncio_is_not_blocked_for_ever_either(suite: Suite, client_module: Module) -> None:
    producing = client_module("producing")
    nowhere = client_module("").AsyncTally(f"127.0.0.1:{choose_port()}")
    bounds = {"batch_events_max": 1, "buffer_events_max": 2, "block_seconds": 0.2}
    producer = nowhere.producer(settings(client_module, **bounds))
    for _ in range(2):
        await producer.record(type="call", customer_id="acme")
    with pytest.raises(producing.BufferFull):
        await producer.record(type="call", customer_id="acme")
    with pytest.raises(producing.NotSent) as failed:
        await producer.close(0.1)
    assert len(failed.value.events) == 2
    await nowhere.close()


async def test_the_end_of_a_process_closes_its_producers(suite: Suite, tmp_path: Path) -> None:
    tenant = suite.new_tenant()
    run([sys.executable, "-c", ENDING], tmp_path, **environment(suite, tenant))
    async with suite.client(tenant) as client:
        assert await stored(client) == 100


async def test_a_forked_process_cannot_use_its_parents_producer(
    suite: Suite, tmp_path: Path
) -> None:
    tenant = suite.new_tenant()
    said = run([sys.executable, "-c", FORKING], tmp_path, **environment(suite, tenant))
    assert said.splitlines() == [
        "the process was forked: each process makes producers of its own",
        "2",
    ]
    async with suite.client(tenant) as client:
        assert await stored(client) == 2


def settings(client_module: Module, **given: Any) -> Any:
    return client_module("producing").ProducerSettings(**given)


def tally(client_module: Module, suite: Suite, tenant: int, address: str = "") -> Any:
    addresses = address or suite.stack.addresses
    return client_module("").Tally(addresses, token=suite.token(tenant))


def record_many(producer: Any, count: int, start: datetime, *, made: bool = False) -> None:
    """Record events of 0, 0.25, 0.5, ... units each, a second apart at most; `made`: their ids."""
    for number in range(count):
        producer.record(
            id="" if made else f"event-{number}",
            type="calls",
            customer_id="acme",
            time=start + timedelta(milliseconds=number),
            properties={"value": Decimal(number) / 4, "model": f"m{number % 3}"},
        )


async def stored(client: SuiteClient) -> int:
    """Return how many events the tenant has, of the first thousand."""
    return len((await client.ingest.ListEvents(ListEventsRequest(page_size=1_000))).events)


def environment(suite: Suite, tenant: int) -> dict[str, str]:
    """Return what a process needs to be a client."""
    address = suite.stack.addresses["ingest"]
    wheel = str(built("python/*.whl"))
    return {"AT": address, "TOKEN": suite.token(tenant), "PYTHONPATH": wheel}
