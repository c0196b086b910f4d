"""A bus that finds NATS whenever it is there, and a stream that is made again when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from deploy.embedded.nats import Nats
from libs.bus import Bus, Stream
from libs.errors import Unavailable
from tests.wait import until

SUBJECT = "facts.one"
SECONDS = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nats]:
    """A NATS server of the test's own, which it may stop."""
    nats = Nats(tmp_path)
    nats.start()
    yield nats
    nats.stop()


@pytest.fixture
async def bus(server: Nats) -> AsyncIterator[Bus]:
    """A bus that was opened while the server was away."""
    await asyncio.to_thread(server.stop)
    async with Bus(server.url) as opened:
        yield opened


async def publish(stream: Stream, payload: bytes) -> bool:
    """Publish once; returns whether it was confirmed."""
    try:
        await stream.publish(SUBJECT, payload, headers={}, timeout=5)
    except Unavailable:
        return False
    return True


async def test_what_begins_without_nats_publishes_and_listens_once_it_is_there(
    server: Nats, bus: Bus
) -> None:
    arrived: list[bytes] = []

    async def arrive(message: Msg) -> None:
        arrived.append(message.data)

    stream = Stream(bus, "FACTS", ["facts.>"])
    await bus.subscribe(SUBJECT, cb=arrive)
    assert not await publish(stream, b"away")
    await asyncio.to_thread(server.start)
    await until(lambda: publish(stream, b"there"), seconds=SECONDS)
    await until(lambda: arrived == [b"there"], seconds=SECONDS, describe=lambda: arrived)


async def test_a_restart_of_nats_is_survived(server: Nats, bus: Bus) -> None:
    stream = Stream(bus, "FACTS", ["facts.>"])
    await asyncio.to_thread(server.start)
    await until(lambda: publish(stream, b"1"), seconds=SECONDS)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await until(lambda: publish(stream, b"2"), seconds=SECONDS)
    assert (await bus.jetstream().stream_info("FACTS")).state.messages >= 2


async def test_a_stream_that_nats_has_lost_is_made_again(server: Nats, bus: Bus) -> None:
    stream = Stream(bus, "FACTS", ["facts.>"])
    await asyncio.to_thread(server.start)
    await until(lambda: publish(stream, b"1"), seconds=SECONDS)
    await bus.jetstream().delete_stream("FACTS")
    with pytest.raises(Unavailable, match="does not confirm"):
        await stream.publish(SUBJECT, b"2", headers={}, timeout=5)
    assert await publish(stream, b"2")
    assert (await bus.jetstream().stream_info("FACTS")).state.messages == 1
