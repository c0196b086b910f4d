"""A producer never waits for ever, and its end is told or comes in good order."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from deploy.embedded.ports import choose_port
from tests.readme import read_blocks
from tests.slow.sdk.conftest import ROOT, run
from tests.slow.sdk.producers import (
    Module,
    environment,
    settings,
    stored,
    tally,
    until_accepted,
)
from tests.suite import Suite

EXAMPLES = ROOT / "sdk" / "python" / "README.md"
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
            await until_accepted(producer, number + 1)


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


async def test_the_example_of_the_readme_works(suite: Suite, tmp_path: Path) -> None:
    (code,) = (one for one in read_blocks(EXAMPLES, "python") if ".producer(" in one)
    own = environment(suite, tenant := suite.new_tenant())
    own |= {"TALLY_INGEST_ADDRESS": own["AT"], "TALLY_TOKEN": own["TOKEN"]}
    said = run([sys.executable, "-c", code], tmp_path, **own)
    assert "recorded=1000, accepted=1000, duplicates=0, rejected=0, waiting=0" in said
    async with suite.client(tenant) as client:
        assert await stored(client) == 1_000
