"""Consuming facts: each takes effect once, in order, and none is dropped silently.

NATS is the fast path and never the proof: the cursor `inbox_head` says what has taken effect, a
gap or a tail that NATS lost is pulled from the source's FactService. So a plain subscription is
enough. (A pull consumer's `fetch` of nats-py waits out its whole timeout unless the batch fills.)
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Protocol
from uuid import UUID

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import inbox
from libs.bus import Subscribes
from libs.db import begin, begin_worker
from libs.errors import Exhausted, TallyError, Unavailable
from libs.inbox import Fact
from libs.tenant import Tenant
from libs.worker import wait

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

Handler = Callable[[AsyncConnection, Tenant, Sequence[Fact]], Awaitable[None]]

POLL_S = 1.0  # How often the source is asked for what NATS may have lost.
RETRY_S = 0.5
BACKLOG_MAX = 10_000  # Facts held in memory; more are dropped here and pulled as a gap.
BATCH_MAX = 100  # Facts that take effect at once.


class Upstream(Protocol):
    """The service whose facts are consumed, as `libs.facts.FactClient` reaches it."""

    async def head(self) -> int:
        """Return the number of its newest fact."""

    def stream(self, after_seq: int) -> AsyncIterator[Fact]:
        """Give its facts after `after_seq`, in order."""


class FactConsumer:
    """Hands the facts of one source to `handlers`, by subject, in the order of their numbers.

    A handler gets facts of one tenant and subject that follow each other. It runs in a transaction
    of that tenant, which also moves the cursor over them, and does database work only. Facts that
    fail together are taken one by one. Facts without a handler are passed over.
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
            if self._arrived[0].seq > self._head + 1:
                await self._pull()
            if self._arrived[0].seq > self._head + 1:
                self._arrived.popleft()  # Its source does not know it.
            await self._apply(self._take_next())
        return took

    def _take_next(self) -> list[Fact]:
        """Take what arrived up to the next gap, without what took effect before."""
        taken: list[Fact] = []
        head = self._head
        while self._arrived and self._arrived[0].seq <= head + 1 and len(taken) < BATCH_MAX:
            fact = self._arrived.popleft()
            if fact.seq == head + 1:
                taken.append(fact)
                head = fact.seq
        return taken

    async def _pull(self) -> None:
        """Apply what the source has after the cursor."""
        async with begin_worker(self._worker) as conn:
            self._head = await inbox.load_head(conn, self._source)
        pulled: list[Fact] = []
        async for fact in self._upstream.stream(self._head):
            pulled.append(fact)
            if len(pulled) == BATCH_MAX:
                await self._apply(pulled)
                pulled = []
        await self._apply(pulled)

    async def _apply(self, facts: Sequence[Fact]) -> None:
        """Let facts that follow each other take effect, those of a tenant and subject at once."""
        for _, run in groupby(facts, key=lambda fact: (fact.tenant, fact.subject)):
            with consuming(run) as consumed:
                await self._apply_run(consumed)
            self._head = consumed[-1].seq
            self._committed()

    async def _apply_run(self, facts: Sequence[Fact]) -> None:
        """Commit the effect of facts of one tenant and subject once, or a dead letter."""
        tenant, subject = facts[0].tenant, facts[0].subject
        handler = self._handlers.get(subject)
        try:
            async with begin(self._engine, tenant) as conn:
                claimed = await inbox.claim(conn, facts)
                if claimed and handler is not None:
                    await handler(conn, tenant, facts)
        except (Unavailable, Exhausted):
            raise
        except Exception as error:
            if len(facts) == 1:
                await self._bury(facts[0], error)
                return
            claimed = False
        if not claimed and len(facts) > 1:  # One is in the way, or others took some of them.
            for fact in facts:
                await self._apply_run([fact])

    async def _bury(self, fact: Fact, error: Exception) -> None:
        """Commit the dead letter of a fact that breaks a rule; a mistake of ours stops here."""
        if not isinstance(error, TallyError | DecodeError):
            raise error
        log.error("fact buried", extra={"subject": fact.subject, "seq": fact.seq}, exc_info=error)
        async with begin(self._engine, fact.tenant) as conn:
            if await inbox.claim(conn, [fact]):
                await inbox.bury(conn, fact, error)


@contextmanager
def consuming(facts: Iterable[Fact]) -> Iterator[list[Fact]]:
    """Give `facts`, each with the headers of a span in which it is consumed."""
    spans: list[Span] = []
    consumed: list[Fact] = []
    for fact in facts:
        name, parent = f"consume {fact.subject}", propagate.extract(fact.headers)
        span = tracer.start_span(name, context=parent, kind=SpanKind.CONSUMER)
        headers: dict[str, str] = {}
        propagate.inject(headers, context=trace.set_span_in_context(span))
        consumed.append(replace(fact, headers=headers))
        spans.append(span)
    try:
        yield consumed
    finally:
        for span in spans:
            span.end()


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
