"""Publishing on a real NATS: every slice in order, at least once, and confirmed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from secrets import token_hex

import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from libs import bus
from libs.db import connect
from libs.errors import Unavailable
from services.ingest import loops
from services.ingest.loops import STREAM, Publisher
from services.ingest.operations import announcing
from services.ingest.store.slice_content import unpack_content
from tally.ingest.v1 import events_pb2
from tests.store.ingest.conftest import Log
from tests.unit.ingest.events import event, submission


@pytest.fixture
async def stream(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """JetStream, without what an earlier test published."""
    client = await bus.connect(nats_url)
    jetstream = client.jetstream()
    try:
        await jetstream.delete_stream(STREAM)
    except NotFoundError:
        pass
    yield jetstream
    await client.close()


async def published(stream: JetStreamContext) -> list[tuple[str, events_pb2.SegmentSealed]]:
    """Return what the stream holds, in its order."""
    subscription = await stream.subscribe(f"{announcing.SUBJECT}.>", ordered_consumer=True)
    info = await stream.stream_info(STREAM)
    messages = [await subscription.next_msg(timeout=5) for _ in range(info.state.messages)]
    await subscription.unsubscribe()
    return [(one.subject, events_pb2.SegmentSealed.FromString(one.data)) for one in messages]


async def publish_all(publisher: Publisher) -> None:
    while await publisher.step():
        pass


async def test_slices_are_published_in_order_and_confirmed(
    log: Log, nats_url: str, stream: JetStreamContext
) -> None:
    publisher = Publisher(log.worker, nats_url)
    for number in range(3):
        customers = [event(f"{number}-{n}", customer_id=f"c{n}") for n in range(20)]
        await log.seal(submission(*customers))
    await publish_all(publisher)
    messages = await published(stream)
    places = [(message.slice.number, message.slice.partition) for _, message in messages]
    assert places == [(number, partition) for number in (1, 2, 3) for partition in range(4)]
    for subject, message in messages:
        part = message.slice
        assert subject == f"tally.ingest.v1.SegmentSealed.0.{part.partition}"
        assert part.previous_number == part.number - 1
        assert unpack_content(part.content).event_count == part.event_count > 0
    assert await log.fetch("SELECT number FROM relay_position") == [(3,)]
    await publisher.close()


async def test_a_window_published_again_is_dropped_by_its_message_ids(
    log: Log, nats_url: str, stream: JetStreamContext
) -> None:
    """As after a kill between the confirmation and its commit."""
    publisher = Publisher(log.worker, nats_url)
    await log.seal(submission(event("a")))
    await publish_all(publisher)
    await log.execute("UPDATE relay_position SET number = 0")
    await publish_all(publisher)
    assert len(await published(stream)) == 1
    await publisher.close()


async def test_small_segments_that_follow_each_other_are_handed_on_together(
    log: Log, nats_url: str, stream: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "SMALL_WINDOW_SECONDS", 1)
    publisher = Publisher(log.worker, nats_url)
    await log.seal(submission(event("a")))
    assert await publisher.step()
    following = asyncio.create_task(publisher.step())
    await log.seal(submission(event("b")))
    await log.seal(submission(event("c")))
    assert await following
    assert await log.fetch("SELECT number FROM relay_position") == [(3,)]
    await publisher.close()


async def test_a_large_content_stays_behind(
    log: Log, nats_url: str, stream: JetStreamContext
) -> None:
    publisher = Publisher(log.worker, nats_url)
    large = [
        event(f"e{n}", properties={f"k{k}": token_hex(500) for k in range(10)}) for n in range(200)
    ]
    await log.seal(submission(*large))
    await publish_all(publisher)
    [(_, message)] = await published(stream)
    assert message.slice.content == b"" and message.slice.event_count == 200
    await publisher.close()


async def test_one_process_publishes_at_a_time_and_another_takes_over(
    log: Log, nats_url: str, stream: JetStreamContext
) -> None:
    first, second = Publisher(log.worker, nats_url), Publisher(log.worker, nats_url)
    await log.seal(submission(event("a")))
    await publish_all(first)
    await log.seal(submission(event("b")))
    assert not await second.step()
    await first.close()
    assert await second.step()
    assert len(await published(stream)) == 2
    await second.close()


async def test_segments_wait_while_nats_does_not_confirm(
    log: Log, nats_url: str, stream: JetStreamContext
) -> None:
    publisher = Publisher(log.worker, nats_url)
    await log.seal(submission(event("a")))
    await publish_all(publisher)
    await stream.delete_stream(STREAM)
    await log.seal(submission(event("b")))
    with pytest.raises(Unavailable):
        await publisher.step()
    assert await log.fetch("SELECT number FROM relay_position") == [(1,)]
    await publish_all(publisher)
    assert [message.slice.number for _, message in await published(stream)] == [2]
    await publisher.close()


async def test_segments_wait_while_the_database_takes_no_connections(nats_url: str) -> None:
    nowhere = connect("postgresql+asyncpg://nobody@127.0.0.1:1/ingest", connections_max=1)
    publisher = Publisher(nowhere, nats_url)
    for _ in range(2):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await publisher.step()
    await publisher.close()
    await nowhere.dispose()
