"""Clients that report usage: batches of all sizes, some events twice, until told to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from libs.wire import parse_timestamp, timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue, Verdict
from tally.ingest.v1.ingest_service_pb2 import (
    AmendEventRequest,
    RecordEventsRequest,
    RetractEventRequest,
)
from tests.chaos.calling import GaveUp, Strange, pause
from tests.chaos.expected import CALL, JOB, LEVEL, TARIFFS
from tests.chaos.known import Identity, Usage
from tests.chaos.world import World, new_id

SIZES = (1, 1, 2, 5, 20, 60)
FIRST_SIZE = 90
REPEATS = 0.2  # Of the batches hold events that were sent before.
CORRECTIONS = 0.15  # Of the batches are followed by the correction of some event.
IMPATIENT = 0.15  # Of the batches are never sent again when the answer stays away.
LATE = 0.03  # Of the events of instant charges: for each of them rating reads the log.
PAUSE_SECONDS_MAX = 0.15
BATCHES_MAX = 25  # Of a client: what takes long to come back is not buried under them.
SUCCESSES = {Verdict.VERDICT_ACCEPTED, Verdict.VERDICT_DUPLICATE}


class Reporter:
    """One client; several share a world, and send each other's events again."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self.now = world.start  # Business time, as far as clients know it.

    async def run(self, stopping: asyncio.Event) -> None:
        """Report until `stopping`, or until all that it has is sent."""
        for _ in range(BATCHES_MAX):
            if stopping.is_set():
                return
            batch = self._draw_batch()
            try:
                await self._send(batch)
                if self._rng.random() < CORRECTIONS:
                    await self._correct()
            except (GaveUp, Strange):
                continue  # Noted where it counts.
            await pause(self._rng.uniform(0, PAUSE_SECONDS_MAX))

    async def begin(self) -> None:
        """Report some usage before anything is killed."""
        await self._send(self._draw_batch(FIRST_SIZE))

    def _draw_batch(self, size: int = 0) -> list[Identity]:
        known = self._world.known.events
        batch = []
        for _ in range(size or self._rng.choice(SIZES)):
            identity = self._draw_identity()
            known[identity] = self._draw_usage()
            batch.append(identity)
        if self._rng.random() < REPEATS:
            sent = list(known)[-500:]
            batch += self._rng.choices(sent, k=self._rng.randint(1, 20))
            self._rng.shuffle(batch)
        return batch

    def _draw_identity(self) -> Identity:
        """Ids as clients make them: UUIDs of two kinds, and words of their own."""
        shape = self._rng.randrange(3)
        if shape == 0:
            return "", new_id(self._rng)
        bits = self._rng.getrandbits(62)
        if shape == 1:
            millis = int(self.now.timestamp()) * 1000 + self._rng.randrange(1000)
            digits = f"{millis:012x}7{self._rng.getrandbits(12):03x}{bits | 1 << 63:016x}"
            return "", "-".join(
                (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
            )
        return f"meter-{self._rng.randrange(3)}", f"reading {bits}"

    def _draw_usage(self) -> Usage:
        seat = self._rng.choice(self._world.seats)
        age = self._rng.randrange(int((self.now - self._world.start).total_seconds()) + 1)
        age = age if self._rng.random() < 0.7 else age % 600
        if TARIFFS[seat.tariff].bills_early and self._rng.random() >= LATE:
            age = 0
        return Usage(
            type=self._rng.choice((CALL, CALL, JOB, LEVEL)),
            customer_id=seat.customer_id,
            subscription_id=seat.subscription_id,
            time=self.now - timedelta(seconds=age),
            value=Decimal(self._rng.randrange(1, 500)) / 100,
        )

    async def _send(self, batch: Sequence[Identity]) -> None:
        world = self._world
        events = [message(identity, world.known.events[identity]) for identity in batch]
        answer = await world.caller.ask(
            world.client.ingest.RecordEvents,
            RecordEventsRequest(events=events),
            patient=self._rng.random() >= IMPATIENT,
        )
        for identity, verdict in zip(batch, answer.verdicts, strict=True):
            if verdict.verdict in SUCCESSES:
                world.known.acknowledged.add(identity)
                world.known.answered_at.setdefault(identity, world.known.now)
            else:
                name = Verdict.Name(verdict.verdict)
                world.caller.strange.append(f"event {identity}: {name} {verdict.detail}")

    async def _correct(self) -> None:
        """Amend or retract an event that nobody has corrected."""
        known, client = self._world.known, self._world.client
        left = sorted(known.acknowledged - known.corrected.keys())
        if not left:
            return
        identity = self._rng.choice(left)
        known.corrected[identity] = now = self._draw_usage() if self._rng.random() < 0.7 else None
        known.uncertain.add(identity)
        request_id = new_id(self._rng)
        if now is None:
            source, event_id = identity
            taken = RetractEventRequest(request_id=request_id, source=source, id=event_id)
            await self._world.caller.ask(client.ingest.RetractEvent, taken)
        else:
            amended = AmendEventRequest(request_id=request_id, event=message(identity, now))
            await self._world.caller.ask(client.ingest.AmendEvent, amended)
        known.uncertain.discard(identity)


def message(identity: Identity, usage: Usage) -> Event:
    """Write an event."""
    source, event_id = identity
    return Event(
        id=event_id,
        source=source,
        type=usage.type,
        time=timestamp(usage.time),
        customer_id=usage.customer_id,
        subscription_id=usage.subscription_id,
        properties={"value": PropertyValue(decimal=str(usage.value))},
    )


def read(event: Event) -> tuple[Identity, Usage]:
    """Read an event back."""
    return (event.source, event.id), Usage(
        type=event.type,
        customer_id=event.customer_id,
        subscription_id=event.subscription_id,
        time=parse_timestamp(event.time, "time"),
        value=Decimal(event.properties["value"].decimal),
    )
