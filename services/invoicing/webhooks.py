"""Work in the background: facts are sent to the endpoints of webhooks."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.db import begin_worker
from libs.idle import Idle, IdleCheck
from libs.worker import Loop
from services.invoicing.domain.webhook import JITTER, sign
from services.invoicing.loops import Parts
from services.invoicing.operations.posting import post
from services.invoicing.operations.webhook_messages import body_of
from services.invoicing.operations.webhooks import take_answer
from services.invoicing.store.webhooks import (
    OFFERED_MAX,
    Claimed,
    claim_due,
    count_undelivered,
    is_due,
    offer_facts,
)

log = logging.getLogger(__name__)

SENDING_MAX = 32
OF_ENDPOINT_MAX = 4  # So that endpoints that hang leave room for the others.
POLL_SECONDS = 0.25  # Facts are numbered by the relay, which wakes nobody.


class Webhooks:
    """Makes deliveries of facts, and sends those that are due: each by a task of its own."""

    def __init__(self, parts: Parts, *, private: bool) -> None:
        self._parts = parts
        self._private = private
        self._sending: set[asyncio.Task[None]] = set()
        self.loop = Loop("webhooks", self.step, poll_seconds=POLL_SECONDS)

    async def step(self) -> bool:
        """Take facts that are new, and begin to send what is due as far as there is room."""
        now, free = self._parts.clock.now(), SENDING_MAX - len(self._sending)
        claimed: list[Claimed] = []
        async with begin_worker(self._parts.worker) as conn:
            offered = await offer_facts(conn, now=now)
        async with begin_worker(self._parts.worker) as conn:
            if free and await is_due(conn, now=now):
                claimed = await claim_due(
                    conn, now=now, limit=free, of_endpoint_max=OF_ENDPOINT_MAX
                )
        for one in claimed:
            task = asyncio.create_task(self._send(one))
            self._sending.add(task)
            task.add_done_callback(self._sent)
        return bool(claimed) or offered == OFFERED_MAX

    async def close(self) -> None:
        """Give up what is being sent: it is sent again once its claim has ended."""
        sending = list(self._sending)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    async def _send(self, claimed: Claimed) -> None:
        delivery, endpoint = claimed.delivery, claimed.endpoint
        try:
            body = body_of(delivery)
            secrets = endpoint.secrets_at(self._parts.clock.now())
            # Receivers compare it with their own time, which a test clock does not move.
            sent_at = int(datetime.now(UTC).timestamp())
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "tally-webhooks",
                "Tally-Signature": sign(body, secrets, timestamp=sent_at),
            }
            answer = await post(endpoint.url, body, headers, private=self._private)
            now, draw = self._parts.clock.now(), random.randrange(JITTER)
            await take_answer(
                self._parts.engine, claimed.tenant, delivery, answer, now=now, draw=draw
            )
        except Exception:  # It is sent again once its claim has ended.
            log.exception("delivery interrupted", extra={"delivery_id": str(delivery.delivery_id)})

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self.loop.kick()


async def idle(worker: AsyncEngine, clock: Clock, others: IdleCheck) -> Idle:
    """Tell what `others` do and what is left to do about webhooks."""
    found = await others()
    async with begin_worker(worker) as conn:
        unoffered, due, next_at = await count_undelivered(conn, now=clock.now())
    reasons = {"facts wait for webhooks": unoffered, "webhooks are being sent": due}
    busy = [f"{count} {what}" for what, count in reasons.items() if count > 0]
    times = filter(None, (found.next_due_at, next_at))
    return replace(found, busy=[*found.busy, *busy], next_due_at=min(times, default=None))
