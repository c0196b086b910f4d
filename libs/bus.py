"""Consuming facts: each takes effect once, in order, and none is dropped silently.

NATS is the fast path and never the proof: the cursor `inbox_head` says what has taken effect, a
gap or a tail that NATS lost is pulled from the source's FactService. So a plain subscription is
enough. (A pull consumer's `fetch` of nats-py waits out its whole timeout unless the batch fills.)
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import BadRequestError
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import inbox
from libs.db import begin, begin_worker
from libs.errors import Exhausted, TallyError, Unavailable
from libs.inbox import Fact
from libs.tenant import Tenant
from libs.worker import wait

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

Handler = Callable[[AsyncConnection, Fact], Awaitable[None]]
Arrive = Callable[[Msg], Awaitable[None]]

POLL_S = 1.0  # How often the source is asked for what NATS may have lost.
RETRY_S = 0.5
BACKLOG_MAX = 10_000  # Facts held in memory; more are dropped here and pulled as a gap.


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


class Upstream(Protocol):
    """The service whose facts are consumed, as `libs.facts.FactClient` reaches it."""

    async def head(self) -> int:
        """Return the number of its newest fact."""

    def stream(self, after_seq: int) -> AsyncIterator[Fact]:
        """Give its facts after `after_seq`, in order."""


class FactConsumer:
    """Hands the facts of one source to `handlers`, by subject, in the order of their numbers.

    A handler runs in a transaction of the fact's tenant, which also moves the cursor; it does
    database work only. Facts without a handler are passed over.
    """

    name = "facts"

    def __init__(
        self,
        nats_client: Subscribes,
        engine: AsyncEngine,
        worker: AsyncEngine,
        *,
        source: str,
        upstream: Upstream,
        handlers: Mapping[str, Handler],
        committed: Callable[[], None],
    ) -> None:
        self._nats = nats_client
        self._engine = engine
        self._worker = worker
        self._source = source
        self._upstream = upstream
        self._handlers = handlers
        self._committed = committed  # Called after facts took effect.
        self._arrived: deque[Fact] = deque(maxlen=BACKLOG_MAX)
        self._kicked = asyncio.Event()
        self._head = 0

    def kick(self) -> None:
        """Look for facts now."""
        self._kicked.set()

    async def lag(self) -> int:
        """Return how many facts of the source have not taken effect yet."""
        newest = await self._upstream.head()
        async with begin_worker(self._worker) as conn:
            return newest - await inbox.load_head(conn, self._source)

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping`."""
        await self._nats.subscribe(f"tally.{self._source.lower()}.v1.*", cb=self._arrive)
        opened = False
        while not stopping.is_set():
            try:
                if not opened:
                    async with begin_worker(self._worker) as conn:
                        await inbox.open_source(conn, self._source)
                    await self._pull()
                    opened = True
                self._kicked.clear()
                if not await self._take_arrived():
                    await wait(self._kicked, POLL_S)
                    if not self._arrived and await self._upstream.head() > self._head:
                        await self._pull()
            except (Unavailable, Exhausted) as error:
                log.warning("facts wait", extra={"source": self._source, "error": str(error)})
                await wait(stopping, RETRY_S)
            except Exception:
                log.exception("facts interrupted", extra={"source": self._source})
                await wait(stopping, RETRY_S)

    async def _arrive(self, message: Msg) -> None:
        self._arrived.append(parse_fact(message, self._source))
        self._kicked.set()

    async def _take_arrived(self) -> bool:
        """Apply what NATS brought; return whether there was anything."""
        took = bool(self._arrived)
        while self._arrived:
            fact = self._arrived.popleft()
            if fact.seq > self._head + 1:
                await self._pull()
            await self._apply(fact)
        return took

    async def _pull(self) -> None:
        """Apply what the source has after the cursor."""
        async with begin_worker(self._worker) as conn:
            self._head = await inbox.load_head(conn, self._source)
        async for fact in self._upstream.stream(self._head):
            await self._apply(fact)

    async def _apply(self, fact: Fact) -> None:
        if fact.seq <= self._head:
            return
        parent = propagate.extract(fact.headers)
        name = f"consume {fact.subject}"
        with tracer.start_as_current_span(name, context=parent, kind=SpanKind.CONSUMER):
            await self._apply_or_bury(fact)
        self._head = fact.seq
        self._committed()

    async def _apply_or_bury(self, fact: Fact) -> None:
        """Commit the effect of `fact` once, or its dead letter."""
        handler = self._handlers.get(fact.subject)
        try:
            async with begin(self._engine, fact.tenant) as conn:
                if await inbox.claim(conn, fact) and handler is not None:
                    await handler(conn, fact)
        except (Unavailable, Exhausted):
            raise
        except (TallyError, DecodeError) as error:
            log.exception("fact buried", extra={"subject": fact.subject, "seq": fact.seq})
            async with begin(self._engine, fact.tenant) as conn:
                if await inbox.claim(conn, fact):
                    await inbox.bury(conn, fact, error)


def parse_fact(message: Msg, source: str) -> Fact:
    """Read a fact off the wire, as `libs.relay` puts it there."""
    headers = dict(message.headers or {})
    return Fact(
        tenant=Tenant(int(headers["tally-tenant"])),
        source=source,
        seq=int(headers["tally-seq"]),
        event_id=UUID(headers["Nats-Msg-Id"]),
        subject=message.subject,
        payload=message.data,
        headers=headers,
    )
