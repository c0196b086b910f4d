"""Group commit: concurrent requests share a transaction, and each gets its own verdicts."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import telemetry
from libs.clock import Clock
from libs.worker import wait
from services.ingest.domain.candidates import Submission
from services.ingest.domain.verdicts import Judgements
from services.ingest.operations import metrics
from services.ingest.operations.admission import Admission, Load
from services.ingest.operations.sealing import SHARD, Sealed, seal
from services.ingest.operations.turns import Turns

log = logging.getLogger(__name__)
tracer = telemetry.tracer(__name__)

SEALERS_MAX = 2
COALESCE_SECONDS = 0.003
HEAVY_EVENTS_MIN = 2_000  # In seal: what is light does not wait for so many.
LINKS_MAX = 128


@dataclass(frozen=True, slots=True)
class Recorded:
    """The verdicts on a request, in its order, and the segment up to which a read must wait."""

    judgements: Judgements
    shard: int
    number: int  # 0 if nothing of the request is in the log.


@dataclass(frozen=True, slots=True)
class _Waiting:
    submission: Submission
    span: SpanContext
    answer: asyncio.Future[Recorded]

    def load(self) -> tuple[int, int]:
        load = load_of(self.submission)
        return load.events, load.bytes


def load_of(submission: Submission) -> Load:
    """Return what a request weighs."""
    return Load(submission.events, submission.size)


class Recorder:
    """Seals what requests submit, in groups; up to two groups at a time.

    A request waits a few milliseconds for company, or until a group is full. While both sealers
    are busy, requests gather for the next group; light ones are sealed beside large groups.
    """

    def __init__(self, worker: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._worker = worker
        self._clock = clock
        self._committed = committed  # Called after each commit of a segment.
        self.admission = Admission()
        self._turns: Turns[_Waiting] = Turns(_Waiting.load)
        self._full = asyncio.Event()
        self._sealers: set[asyncio.Task[None]] = set()
        self._light_sealer: asyncio.Task[None] | None = None
        self._sealing_events = 0
        self.in_flight = 0  # Requests without an answer.

    async def record(self, submission: Submission) -> Recorded:
        """Record one request; the answer comes after the commit.

        Cancelling the call takes nothing back: its group goes on.

        Raises:
            IngestBusy: too much of its tenant waits; nothing of it is recorded.
            Unavailable: the outcome is not known; sent again, what was stored is a DUPLICATE.
        """
        tenant, load = submission.rules.tenant, load_of(submission)
        self.admission.enter(tenant, load)
        answer = self.queue(submission)
        answer.add_done_callback(lambda _: self.admission.leave(tenant, load))
        # Cancelling the future as well would say that nothing is in flight any more.
        return await asyncio.shield(answer)

    def queue(self, submission: Submission) -> asyncio.Future[Recorded]:
        """Queue what was admitted; return what gets its answer, which is not to be cancelled."""
        waiting = _Waiting(
            submission,
            trace.get_current_span().get_span_context(),
            asyncio.get_running_loop().create_future(),
        )
        self._turns.add(submission.rules.tenant, waiting)
        self.in_flight += 1
        waiting.answer.add_done_callback(self._answered)
        if self._turns.fills_a_group:
            self._full.set()
        self._start_sealer()
        self._start_light_sealer()
        return waiting.answer

    def _answered(self, answer: asyncio.Future[Recorded]) -> None:
        self.in_flight -= 1
        answer.exception()  # Looked at, though nobody may wait for it any more.

    def _start_sealer(self) -> None:
        if len(self._sealers) < SEALERS_MAX:
            # A context of its own: neither the caller nor the span of whoever came first.
            sealing = self._seal_waiting()
            sealer = asyncio.create_task(sealing, name="sealer", context=contextvars.Context())
            self._sealers.add(sealer)
            sealer.add_done_callback(self._sealers.discard)

    def _start_light_sealer(self) -> None:
        """Let tenants that send little not wait while others' large groups are sealed."""
        busy = len(self._sealers) == SEALERS_MAX and self._sealing_events >= HEAVY_EVENTS_MIN
        if busy and self._light_sealer is None:
            sealing, own = self._seal_light(), contextvars.Context()
            self._light_sealer = asyncio.create_task(sealing, name="light sealer", context=own)

    async def _seal_light(self) -> None:
        """Seal light groups until none waits; what is not light is left to the sealers."""
        try:
            await asyncio.sleep(COALESCE_SECONDS)
            while group := self._turns.take_light_group():
                await self._seal_and_answer(group)
        finally:
            self._light_sealer = None

    async def _seal_waiting(self) -> None:
        """Seal one group after the other until nobody waits."""
        await wait(self._full, COALESCE_SECONDS)
        while group := self._turns.take_group():
            if not self._turns.fills_a_group:
                self._full.clear()
            await self._seal_and_answer(group)
        # Before anyone else runs: a request that came between would find no sealer, and start none.
        self._sealers.discard(cast(asyncio.Task[None], asyncio.current_task()))

    async def _seal_and_answer(self, group: Sequence[_Waiting]) -> None:
        events = sum(one.submission.events for one in group)
        self._sealing_events += events
        try:
            sealed = await self._seal(group)
        except Exception as error:
            log.warning("group not sealed", extra={"requests": len(group), "error": str(error)})
            for one in group:
                if not one.answer.done():
                    one.answer.set_exception(error)
        else:
            _answer(group, sealed)
        finally:
            self._sealing_events -= events

    async def _seal(self, group: Sequence[_Waiting]) -> Sealed:
        started = time.perf_counter()
        events = sum(one.submission.events for one in group)
        context, links = causes([one.span for one in group])
        attributes = {"tally.requests": len(group), "tally.events": events}
        with tracer.start_as_current_span(
            "seal", context=context, links=links, attributes=attributes
        ) as span:
            sealed = await seal(self._worker, self._clock, [one.submission for one in group])
            span.set_attribute("tally.segment", sealed.number)
        if sealed.number:
            self._committed()
        metrics.GROUP_EVENTS.observe(events)
        metrics.SEAL_SECONDS.observe(time.perf_counter() - started)
        return sealed


def causes(requests: Sequence[SpanContext]) -> tuple[Context, list[Link]]:
    """Return the seal's parent if one request caused it, else links to all of them."""
    spans = [span for span in requests if span.is_valid]
    if len(spans) == 1:
        parent = trace.set_span_in_context(trace.NonRecordingSpan(spans[0]), Context())
        return parent, []
    return Context(), [Link(span) for span in spans[:LINKS_MAX]]


def _answer(group: Sequence[_Waiting], sealed: Sealed) -> None:
    for one, judgements in zip(group, sealed.decision.judgements, strict=True):
        for verdict, count in judgements.counts().items():
            metrics.EVENTS.labels(verdict.value).inc(count)
        if not one.answer.done():
            number = judgements.newest(sealed.number)
            one.answer.set_result(Recorded(judgements, SHARD, number))
