"""NATS for as long as a process lives, and its streams."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import (
    Awaitable,
    Callable,
    Sequence,
)
from types import TracebackType
from typing import Protocol, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import BadRequestError

from libs.errors import Unavailable

log = logging.getLogger(__name__)

Arrive = Callable[[Msg], Awaitable[None]]


async def connect(url: str) -> Client:
    """Connect to NATS, and reconnect for as long as the process lives."""
    client = Client()

    async def disconnected() -> None:
        if not (client.is_closed or client.is_draining):  # Else we left on purpose.
            log.warning("NATS is away, facts wait in the outbox")

    await client.connect(
        url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        allow_reconnect=True,
        connect_timeout=2,
        error_cb=warn,
        disconnected_cb=disconnected,
    )
    return client


async def warn(error: Exception) -> None:
    log.warning("NATS", extra={"error": repr(error)})


async def ensure_stream(
    stream: JetStreamContext,
    name: str,
    subjects: Sequence[str],
    *,
    max_bytes: int = 1 << 30,
    max_age_s: float = 30 * 86_400,
) -> None:
    """Create the JetStream stream `name`, or bring it up to these settings.

    A full one drops its oldest messages: what they said is in the database that announced it.
    """
    config = StreamConfig(
        name=name,
        subjects=list(subjects),
        discard=DiscardPolicy.OLD,
        max_bytes=max_bytes,
        max_age=max_age_s,
        duplicate_window=120,
    )
    try:
        await stream.add_stream(config)
    except BadRequestError:  # There with other settings.
        await stream.update_stream(config)


class Subscribes(Protocol):
    """A connection to NATS: a `Bus`, or a client of nats-py."""

    async def subscribe(self, subject: str, *, cb: Arrive) -> object:
        """Call `cb` for each message on `subject`."""


class Bus:
    """NATS for as long as a process lives: it connects by itself, whenever NATS is there.

    As a context manager. A service starts without NATS, and does all its work: what is announced
    waits in the outbox, and what others announce is pulled from them.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None  # Once it has connected; from then on it reconnects.
        self._waiting: deque[tuple[str, Arrive]] = deque()
        self._connecting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._connecting = asyncio.create_task(self._connect(), name="connect to NATS")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._client is not None:
            await self._client.close()

    async def subscribe(self, subject: str, *, cb: Arrive) -> None:
        """Call `cb` for each message on `subject`, as soon as and whenever NATS is there."""
        if self._client is None:
            self._waiting.append((subject, cb))
        else:
            await self._client.subscribe(subject, cb=cb)

    def jetstream(self) -> JetStreamContext:
        """Return JetStream.

        Raises:
            Unavailable: NATS was not there yet.
        """
        if self._client is None:
            raise Unavailable("NATS is away")
        return self._client.jetstream()

    async def _connect(self) -> None:
        client = await connect(self._url)
        while self._waiting:
            subject, arrive = self._waiting[0]
            await client.subscribe(subject, cb=arrive)
            self._waiting.popleft()
        self._client = client


class Stream:
    """A JetStream stream, made when it is first needed, and again when NATS has lost it."""

    def __init__(self, bus: Bus, name: str, subjects: Sequence[str]) -> None:
        self._bus = bus
        self._name = name
        self._subjects = subjects
        self._made = False
        self._making = asyncio.Lock()

    async def publish(
        self, subject: str, payload: bytes, *, headers: dict[str, str], timeout: float
    ) -> None:
        """Publish a message; it is in the stream when this returns.

        Raises:
            Unavailable: NATS is away, or did not confirm in time; the message may be there.
        """
        try:
            async with self._making:
                if not self._made:
                    await ensure_stream(self._bus.jetstream(), self._name, self._subjects)
                    self._made = True
            jetstream = self._bus.jetstream()
            await jetstream.publish(subject, payload, headers=headers, timeout=timeout)
        except (NatsError, TimeoutError) as error:
            self._made = False  # It may be gone.
            raise Unavailable(f"NATS does not confirm: {error!r}") from error
