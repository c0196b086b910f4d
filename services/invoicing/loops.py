"""Work in the background: drafts are kept fresh, and due ones are finalized.

Both find what is left to do in the database, so whatever one process leaves half done any other
goes on with. No question to a peer is asked while a lock is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox, telemetry
from libs.clock import Clock
from libs.consumer import FactConsumer
from libs.db import begin_worker
from libs.idle import Idle
from libs.tenant import Tenant
from services.invoicing.batches import Batches
from services.invoicing.domain.invoice import Credit, Kind, Status
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.operations import drafting, finalizing
from services.invoicing.operations.finalizing import Claim, Priced
from services.invoicing.operations.peers import Rating, Wallet
from services.invoicing.store import gathering, unbilled, work

tracer = telemetry.tracer(__name__)

PAYING = 16  # Invoices whose credits the wallet is asked for at once.


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loops work with."""

    engine: AsyncEngine
    worker: AsyncEngine
    clock: Clock
    rating: Rating
    wallet: Wallet
    committed: Callable[[], None]  # Called after each commit that may have announced facts.


class Drafter:
    """Rates drafts that wait for their grace, so that they show what they would bill today."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batches = Batches("drafts", self.refresh, batch_max=1)

    async def step(self) -> bool:
        """Refresh drafts that are fresh or stale; those that are due are left to the finalizer."""
        now = self._parts.clock.now()
        async with begin_worker(self._parts.worker) as conn:
            found = await work.find_stale(conn, now=now, limit=self._batches.limit)
        return await self._batches.run(found)

    async def refresh(self, tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        """Rate a draft as of now; False if it changed meanwhile."""
        [invoice_id] = invoice_ids
        draft = await drafting.load_draft(self._parts.engine, tenant, invoice_id)
        if draft.invoice.status is not Status.DRAFT:
            return True
        context = telemetry.context_from(draft.invoice.trace_headers)
        with tracer.start_as_current_span("invoicing refresh draft", context=context):
            rated = [await self._parts.rating.rate(tenant, one) for one in draft.period_ids]
            return await drafting.refresh_draft(self._parts.engine, tenant, draft, rated)


class Finalizer:
    """Finalizes what is due, and goes on with what stands half way."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batches = Batches("finalizer", self.finalize)
        self._paying = asyncio.Semaphore(PAYING)

    async def step(self) -> bool:
        """Finalize what is due by now."""
        now = self._parts.clock.now()
        async with begin_worker(self._parts.worker) as conn:
            found = await work.find_finalizable(conn, now=now, limit=self._batches.limit)
        return await self._batches.run(found)

    async def finalize(self, tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        """Take invoices as far as they go, each in the trace that announced it as due.

        False says that all their drafts were changed in between, by periods that joined them.
        """
        claims = await finalizing.claim(self._parts.engine, tenant, invoice_ids)
        with invoice_spans(tenant, claims) as spans:
            drafts = [one for one in claims if one.invoice.status is Status.DRAFT]
            frozen = [one for one in claims if one.invoice.status is Status.FINALIZING]
            if drafts:
                frozen += await self._freeze(tenant, drafts, spans)
            if frozen:
                await self._complete(tenant, frozen, spans)
        return bool(frozen) or not claims

    async def _freeze(
        self, tenant: Tenant, drafts: Sequence[Claim], spans: Mapping[UUID, Span]
    ) -> list[Claim]:
        # A trace of its own, that those of its invoices link to.
        with tracer.start_as_current_span("invoicing close periods", context=Context()) as closing:
            ended = [one for one in drafts if one.invoice.kind is not Kind.PROGRESSIVE]
            period_ids = [period_id for draft in ended for period_id in draft.period_ids]
            closed = await self._parts.rating.close(tenant, period_ids)
        priced: list[Priced] = []
        for draft in drafts:
            span = spans[draft.invoice.invoice_id]
            span.add_link(closing.get_span_context())
            with trace.use_span(span):
                priced.append(await self._price(tenant, draft, closed))
        now = self._parts.clock.now()
        return await finalizing.freeze(self._parts.engine, tenant, priced, now=now)

    async def _price(
        self, tenant: Tenant, draft: Claim, closed: Mapping[UUID, RatedPeriod]
    ) -> Priced:
        """Return what rating answers for a draft; the present trace is its invoice's."""
        trace_id = telemetry.trace_id()
        if draft.invoice.kind is Kind.PROGRESSIVE:
            assert draft.invoice.alone is not None, "it is for a crossing of thresholds"
            mine = [await self._parts.rating.crossing(tenant, draft.invoice.alone)]
        else:
            mine = [replace(closed[one], trace_id=trace_id) for one in draft.period_ids]
        adjusted = [
            one.rated or await self._parts.rating.adjust(tenant, one.period_id, one.sequence)
            for one in draft.adjustments
        ]
        link_usage([*mine, *adjusted])
        return Priced(draft.invoice.invoice_id, mine, adjusted, trace_id)

    async def _complete(
        self, tenant: Tenant, frozen: Sequence[Claim], spans: Mapping[UUID, Span]
    ) -> None:
        """Complete what the wallet answers for; then raise, if there is another."""
        asking = (self._pay(tenant, one, spans[one.invoice.invoice_id]) for one in frozen)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        paid = {
            one.invoice.invoice_id: answer
            for one, answer in zip(frozen, answers, strict=True)
            if not isinstance(answer, BaseException)
        }
        if paid:
            numbers = await finalizing.complete(
                self._parts.engine, tenant, paid, now=self._parts.clock.now()
            )
            for invoice_id, number in numbers.items():
                # The number is how people ask for the trace: `tally trace INV-202601-001`.
                spans[invoice_id].set_attribute("invoice_number", number)
            self._parts.committed()
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _pay(self, tenant: Tenant, claim: Claim, span: Span) -> list[Credit]:
        if claim.invoice.kind.bare:
            return []
        now = self._parts.clock.now()
        async with self._paying:
            with trace.use_span(span):
                return await self._parts.wallet.apply_credits(
                    tenant, claim.invoice, claim.settled, now=now
                )


@contextmanager
def invoice_spans(tenant: Tenant, claims: Sequence[Claim]) -> Iterator[dict[UUID, Span]]:
    """Give each invoice a span in the trace that announced it as due."""
    spans = {
        claim.invoice.invoice_id: tracer.start_span(
            "invoicing finalize",
            context=telemetry.context_from(claim.invoice.trace_headers),
            attributes={"invoice_id": str(claim.invoice.invoice_id), "tenant": tenant},
        )
        for claim in claims
    }
    try:
        yield spans
    finally:
        for span in spans.values():
            span.end()


def link_usage(rated: Sequence[RatedPeriod]) -> None:
    """Link the present span to those that folded the usage which is billed."""
    span = trace.get_current_span()
    causes = (traceparent for period in rated for traceparent in period.usage_traceparents)
    for link in telemetry.links_from(causes):
        span.add_link(link.context, link.attributes)


async def idle(worker: AsyncEngine, clock: Clock, consumers: Sequence[FactConsumer]) -> Idle:
    """Tell what is left to do at this instant of business time."""
    behind = sum([await facts.lag() for facts in consumers])
    async with begin_worker(worker) as conn:
        load = await work.load_workload(conn, now=clock.now())
        late, late_due_at = await gathering.count_late(conn, now=clock.now())
        untold, unfollowed = await unbilled.count_untold(conn)
        head = await outbox.load_head(conn)
    reasons = {
        "facts of peers wait": behind,
        "customers with wallets are to be followed": unfollowed,
        "unbilled usage is to be told": untold,
        "invoices are due": load.due,
        "invoices are being finalized": load.finalizing,
        "drafts wait for a refresh": load.stale,
        "credits of voided invoices go back": load.unreturned,
        "late usage is to be adjusted": late,
        "facts are unpublished": head.waiting,
    }
    return Idle(
        busy=[f"{count} {what}" for what, count in reasons.items() if count > 0],
        marks={
            "invoices": load.created,
            "revisions": load.revisions,
            "closed": load.closed,
            "late versions": load.late_versions,
            "adjusted versions": load.adjusted_versions,
            "outbox": head.seq,
        },
        next_due_at=min(filter(None, (load.next_due_at, late_due_at)), default=None),
    )
