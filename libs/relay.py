"""The outbox relay: number, commit, publish, confirm."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db, outbox
from libs.worker import PASSING, wait

log = logging.getLogger(__name__)

BATCH_MAX = 500
POLL_S = 0.2  # Only a fallback: a commit in another process cannot kick this one.
RETRY_S = 1.0
PUBLISH_TIMEOUT_S = 5.0
PAYLOAD_BYTES_MAX = 700 * 1024  # NATS takes 1 MiB, headers included.


class Publishes(Protocol):
    """Where facts go: a `libs.bus.Stream`, or JetStream itself where the stream exists."""

    async def publish(
        self, subject: str, payload: bytes, *, headers: dict[str, str], timeout: float
    ) -> object:
        """Publish a message, and return when it is confirmed."""


class Relay:
    """Publishes what commits add to the outbox, in one process of the service at a time."""

    name = "relay"

    def __init__(self, worker: AsyncEngine, stream: Publishes) -> None:
        self._worker = worker
        self._stream = stream
        self._kicked = asyncio.Event()

    def kick(self) -> None:
        """Publish now: call it right after a commit."""
        self._kicked.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until `stopping`. A broker or a database that is away only delays events."""
        while not stopping.is_set():
            try:
                async with db.lead(self._worker, "outbox relay") as conn:
                    while conn is not None and not stopping.is_set():
                        self._kicked.clear()
                        if await self.publish_batch(conn) == 0:
                            await wait(self._kicked, POLL_S)
            except PASSING as error:
                log.warning("relay waits", extra={"error": str(error)})
            except Exception:  # Whatever it is, the events are safe and the next try may work.
                log.exception("relay interrupted")
            await wait(stopping, RETRY_S)

    async def publish_batch(self, conn: AsyncConnection) -> int:
        """Publish the oldest waiting events, up to `BATCH_MAX` at once; return how many.

        At least once: after a crash they are published again under the same number and
        Nats-Msg-Id, which consumers know. Numbers are committed before anyone sees them: had
        they been rolled back, the next attempt could give the same ones to other events.
        """
        async with conn.begin():
            if not await outbox.is_waiting(conn):
                return 0
            await outbox.number_waiting(conn, batch_max=BATCH_MAX)
        async with conn.begin():
            events = await outbox.find_unpublished(conn, batch_max=BATCH_MAX)
        if not events:
            return 0
        await asyncio.gather(*(self._publish(event) for event in events))
        async with conn.begin():
            await outbox.mark_published(conn, first=events[0].seq, last=events[-1].seq)
        return len(events)

    async def _publish(self, event: Row[Any]) -> None:
        if len(event.payload) > PAYLOAD_BYTES_MAX:  # Consumers find the gap, and pull it.
            log.warning("fact too large for NATS", extra={"seq": event.seq})
            return
        headers = {
            **event.headers,
            "Nats-Msg-Id": str(event.event_id),
            "tally-tenant": str(event.tenant),
            "tally-seq": str(event.seq),
        }
        await self._stream.publish(
            event.subject, event.payload, headers=headers, timeout=PUBLISH_TIMEOUT_S
        )
