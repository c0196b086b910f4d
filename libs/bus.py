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
from typing import Protocol
from uuid import UUID

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
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
        nats_client: Client,
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
