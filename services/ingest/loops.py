"""The publisher: segments are their own outbox, and this hands them on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import bus, db, telemetry
from libs.errors import Unavailable
from services.ingest.operations import metrics
from services.ingest.operations.announcing import SUBJECT, headers_of, segment_sealed
from services.ingest.operations.sealing import SHARD
from services.ingest.store import segments
from services.ingest.store.segments import Slice

log = logging.getLogger(__name__)
tracer = telemetry.tracer(__name__)

STREAM = "INGEST"
STREAM_BYTES_MAX = 1 << 30
STREAM_SECONDS_MAX = 3 * 86_400
WINDOW_BYTES_MAX = 16 * 1024 * 1024
ACK_SECONDS_MAX = 5
SMALL_WINDOW_EVENTS = 1_000
SMALL_WINDOW_SECONDS = 0.04  # From one to the next: each costs its readers more than its events do.


class Publisher:
    """Publishes sealed segments in the order of their numbers, in one process at a time.

    At least once: a window that was not confirmed whole is published again. JetStream drops the
    repeats it remembers by Nats-Msg-Id, and rating skips the rest by their numbers.
    """

    def __init__(self, worker: AsyncEngine, nats_url: str) -> None:
        self._worker = worker
        self._nats_url = nats_url
        self._nats: Client | None = None
        self._stream: JetStreamContext | None = None
        self._lead: AbstractAsyncContextManager[AsyncConnection | None] | None = None
        self._conn: AsyncConnection | None = None
        self._due = 0.0  # When the next window may begin.

    async def step(self) -> bool:
        """Publish the next window; True if there was one. The step of a `libs.worker.Loop`.

        Raises:
            Unavailable: the database or NATS is away; the segments wait.
        """
        try:
            if self._conn is None and not await self._take_lead():
                return False
            return await self._publish_window()
        except (NatsError, TimeoutError) as error:
            self._stream = None  # It may be gone: made again at the next try.
            await self._give_up_lead(None)
            raise Unavailable(f"NATS does not confirm: {type(error).__name__} {error}") from error
        except Exception as error:
            await self._give_up_lead(error)  # Raises it, or what it means.
            raise

    async def close(self) -> None:
        """Let another process lead, and disconnect."""
        await self._give_up_lead(None)
        if self._nats is not None:
            await self._nats.close()

    async def _take_lead(self) -> bool:
        lead = db.lead(self._worker, "segment publisher")
        self._conn = await lead.__aenter__()
        self._lead = lead  # Only now: what was not entered cannot be left.
        if self._conn is None:
            await self._give_up_lead(None)
            return False
        return True

    async def _give_up_lead(self, error: Exception | None) -> None:
        lead, self._lead, self._conn = self._lead, None, None
        if lead is not None:
            kind = None if error is None else type(error)
            await lead.__aexit__(kind, error, None if error is None else error.__traceback__)

    async def _publish_window(self) -> bool:
        assert self._conn is not None
        if (rest := self._due - time.monotonic()) > 0:
            await asyncio.sleep(rest)
        began = time.monotonic()
        async with self._conn.begin():
            slices = await segments.find_unpublished(self._conn, SHARD, bytes_max=WINDOW_BYTES_MAX)
        if not slices:
            return False
        links = telemetry.links_from(part.traceparent for part in slices)
        name = f"publish {SUBJECT}"
        with tracer.start_as_current_span(
            name, context=Context(), links=links, kind=SpanKind.PRODUCER
        ):
            await self._publish(slices)
        async with self._conn.begin():
            await segments.mark_published(self._conn, SHARD, slices[-1].number)
        metrics.PUBLISHED.inc(len(slices))
        if sum(part.event_count for part in slices) < SMALL_WINDOW_EVENTS:
            self._due = began + SMALL_WINDOW_SECONDS
        return True

    async def _publish(self, slices: Sequence[Slice]) -> None:
        """Publish `slices` at once and wait until JetStream has confirmed all of them."""
        stream = await self._open_stream()
        async with asyncio.timeout(ACK_SECONDS_MAX):
            confirmations = [
                await stream.publish_async(
                    f"{SUBJECT}.{part.shard}.{part.partition}",
                    segment_sealed(part).SerializeToString(),
                    headers=headers_of(part),
                )
                for part in slices
            ]
            await asyncio.gather(*confirmations)

    async def _open_stream(self) -> JetStreamContext:
        """Return JetStream; connects at first use, so that ingest starts without NATS."""
        if self._nats is None:
            self._nats = await bus.connect(self._nats_url)
        if self._stream is None:
            stream = self._nats.jetstream()
            await bus.ensure_stream(
                stream,
                STREAM,
                [f"{SUBJECT}.>"],
                max_bytes=STREAM_BYTES_MAX,
                max_age_s=STREAM_SECONDS_MAX,
            )
            self._stream = stream
        return self._stream
