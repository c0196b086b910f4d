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
from services.ingest.domain.candidates import Submission
from services.ingest.domain.verdicts import Judgements
from services.ingest.operations import metrics
from services.ingest.operations.admission import Admission, Load
from services.ingest.operations.gathering import QUIET_SECONDS, Gathering
from services.ingest.operations.in_flight import InFlight
from services.ingest.operations.sealing import SHARD, Sealed, seal
from services.ingest.operations.turns import Turns

log = logging.getLogger(__name__)
tracer = telemetry.tracer(__name__)

SEALERS_MAX = 2
SECOND_SEALER_EVENTS_MIN = 1_000  # Fewer are sealed sooner together, after the group before.
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

    A request waits a few milliseconds for those that come with it as a rule, or until a group is
    full. While a group is sealed, requests gather for the next one; much of them is sealed beside,
    and light ones beside two large groups.
    """

    def __init__(self, worker: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._worker = worker
        self._clock = clock
        self._committed = committed  # Called after each commit of a segment.
        self.admission = Admission()
        self._keys = InFlight()
        self._turns: Turns[_Waiting] = Turns(_Waiting.load)
        self._gathering = Gathering()
        self._sealers: set[asyncio.Task[None]] = set()
        self._light_sealer: asyncio.Task[None] | None = None
        self._sealing_events = 0

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return self._gathering.in_flight

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
        self._gathering.come()
        waiting.answer.add_done_callback(self._answered)
        if self._turns.fills_a_group:
            self._gathering.fill()
        self._call_sealer()
        self._call_light_sealer()
        return waiting.answer

    def _answered(self, answer: asyncio.Future[Recorded]) -> None:
        self._gathering.leave()
        answer.exception()  # Looked at, though nobody may wait for it any more.

    def _call_sealer(self) -> None:
        """Have what waits sealed: by those who are at it, or by one more if it is much."""
        busy = len(self._sealers)
        enough = busy == 0 or self._turns.events >= SECOND_SEALER_EVENTS_MIN
        if enough and busy < SEALERS_MAX and not self._gathering.waits:
            # A context of its own: neither the caller nor the span of whoever came first.
            sealing = self._seal_waiting()
            sealer = asyncio.create_task(sealing, name="sealer", context=contextvars.Context())
            self._sealers.add(sealer)
            sealer.add_done_callback(self._sealers.discard)

    def _call_light_sealer(self) -> None:
        """Let tenants that send little not wait while others' large groups are sealed."""
        busy = len(self._sealers) == SEALERS_MAX and self._sealing_events >= HEAVY_EVENTS_MIN
        if busy and self._light_sealer is None:
            sealing, own = self._seal_light(), contextvars.Context()
            self._light_sealer = asyncio.create_task(sealing, name="light sealer", context=own)

    async def _seal_light(self) -> None:
        """Seal light groups until none waits; what is not light is left to the sealers."""
        try:
            await asyncio.sleep(QUIET_SECONDS)
            while group := self._turns.take_light_group():
                await self._seal_and_answer(group)
        finally:
            self._light_sealer = None

    async def _seal_waiting(self) -> None:
        """Seal one group after the other until nobody waits."""
        while self._turns.events:
            await self._gathering.gather(full=self._turns.fills_a_group)
            group = self._turns.take_group()
            if not group:
                break  # The other sealers took all.
            self._call_sealer()  # For what did not fit.
            await self._seal_and_answer(group)
            await asyncio.sleep(0)  # Until those who have their answers are no longer counted.
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
            requests = [one.submission for one in group]
            sealed = await seal(self._worker, self._clock, self._keys, requests)
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
