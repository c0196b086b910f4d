"""nats-server as the launcher runs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error

from deploy.embedded import processes
from deploy.embedded.nats import Nats, NatsFailed
from tests.deploy.sockets import taken


async def ignore(error: Exception) -> None:
    """Keep nats-py from printing what the test expects."""


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[Client]:
    client = await nats.connect(
        url, error_cb=ignore, allow_reconnect=False, max_reconnect_attempts=0, connect_timeout=5
    )
    try:
        yield client
    finally:
        await client.close()


async def test_a_stream_survives_a_kill(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        url = server.url
        async with connection(url) as client:
            stream = client.jetstream()
            await stream.add_stream(name="FACTS", subjects=["facts.>"])
            await stream.publish("facts.one", b"1")
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        assert server.url == url
        async with connection(url) as client:
            assert (await client.jetstream().stream_info("FACTS")).state.messages == 1
    finally:
        await asyncio.to_thread(server.stop)
    assert not server.alive


def test_a_server_that_clients_know_takes_no_other_port(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    server.start()
    url = server.url
    server.kill()
    try:
        with taken(server.port), pytest.raises(NatsFailed, match="is taken"):
            server.start()
        server.start()
        assert server.url == url
    finally:
        server.stop()


async def test_a_server_whose_launcher_died_is_taken_over(tmp_path: Path) -> None:
    forgotten, again = Nats(tmp_path), Nats(tmp_path)
    await asyncio.to_thread(forgotten.start)
    await asyncio.to_thread(again.start)
    try:
        assert not forgotten.alive
        assert again.url == forgotten.url
        assert [found.pid for found in processes.find_started_in(tmp_path)["nats"]] == [
            again.process and again.process.pid
        ]
    finally:
        await asyncio.to_thread(again.stop)


async def test_nobody_connects_without_the_password(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        with pytest.raises(Error, match="(?i)authorization"):
            async with connection(f"nats://tally:guess@127.0.0.1:{server.port}"):
                pass
        for secret in ("nats.conf", "password"):
            assert (tmp_path / secret).stat().st_mode & 0o777 == 0o600
    finally:
        await asyncio.to_thread(server.stop)


def test_what_nats_says_when_it_cannot_start_is_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder of the streams should be")
    with pytest.raises(NatsFailed, match="jetstream|not a directory"):
        Nats(tmp_path).start()
    assert processes.find_started_in(tmp_path) == {}
