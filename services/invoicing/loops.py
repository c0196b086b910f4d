"""Work in the background: drafts are kept fresh, and due ones are finalized.

Both find what is left to do in the database, so whatever one process leaves half done any other
goes on with. No question to a peer is asked while a lock is held.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox, telemetry
from libs.bus import FactConsumer
from libs.clock import Clock
from libs.db import begin_worker
from libs.idle import Idle
from libs.tenant import Tenant
from libs.worker import PASSING, retry_seconds
from services.invoicing.domain.invoice import Status
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.operations import drafting, finalizing
from services.invoicing.operations.finalizing import Claim
from services.invoicing.operations.peers import Rating, Wallet
from services.invoicing.store import work
from services.invoicing.store.work import Reference

log = logging.getLogger(__name__)
tracer = telemetry.tracer(__name__)

PARALLEL = 4  # Invoices worked on at once: each takes a connection now and then.
BATCH_MAX = 200


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loops work with."""

    engine: AsyncEngine
    worker: AsyncEngine
    clock: Clock
    rating: Rating
    wallet: Wallet
    committed: Callable[[], None]  # Called after each commit that may have announced facts.


class Batches:
    """Does `one` for many invoices, a few at a time; an invoice that fails waits on its own.

    So a single invoice that a peer refuses neither stops the others nor is asked for in a hurry.
    """

    def __init__(self, name: str, one: Callable[[Tenant, UUID], Awaitable[bool]]) -> None:
        self._name = name
        self._one = one
        self._slots = asyncio.Semaphore(PARALLEL)
        self._failing: dict[Reference, tuple[int, float]] = {}  # How often, and until when.

    @property
    def limit(self) -> int:
        """How many invoices to look for, so that those that wait never hide the others."""
        return BATCH_MAX + len(self._failing)

    async def run(self, found: list[Reference]) -> bool:
        """Work on what was found and does not wait; return whether any of it got done."""
        self._failing = {key: kept for key, kept in self._failing.items() if key in set(found)}
        now = time.monotonic()
        ready = [one for one in found if self._failing.get(one, (0, 0.0))[1] <= now]
        return any(await asyncio.gather(*(self._attempt(one) for one in ready)))

    async def _attempt(self, reference: Reference) -> bool:
        async with self._slots:
            try:
                done = await self._one(*reference)
            except Exception as error:
                self._note(reference, error)
                return False
        self._failing.pop(reference, None)
        return done

    def _note(self, reference: Reference, error: Exception) -> None:
        failures = self._failing.get(reference, (0, 0.0))[0] + 1
        self._failing[reference] = failures, time.monotonic() + retry_seconds(failures)
        tenant, invoice_id = reference
        fields = {"work": self._name, "tenant": tenant, "invoice_id": str(invoice_id)}
        if isinstance(error, PASSING):
            log.warning("invoice waits for a peer", extra=fields | {"error": str(error)})
        else:
            log.error("invoice cannot go on", extra=fields, exc_info=error)


class Drafter:
    """Rates drafts that wait for their grace, so that they show what they would bill today."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batches = Batches("drafts", self._refresh)

    async def step(self) -> bool:
        """Refresh drafts that are fresh or stale; those that are due are left to the finalizer."""
        now = self._parts.clock.now()
        async with begin_worker(self._parts.worker) as conn:
            found = await work.find_stale(conn, now=now, limit=self._batches.limit)
        return await self._batches.run(found)

    async def _refresh(self, tenant: Tenant, invoice_id: UUID) -> bool:
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

    async def step(self) -> bool:
        """Finalize what is due by now."""
        now = self._parts.clock.now()
        async with begin_worker(self._parts.worker) as conn:
            found = await work.find_finalizable(conn, now=now, limit=self._batches.limit)
        return await self._batches.run(found)

    async def finalize(self, tenant: Tenant, invoice_id: UUID) -> bool:
        """Take one invoice as far as it goes, in the trace that announced it as due.

        False says that its draft was changed in between, by a period that joined it.
        """
        claim = await finalizing.claim(self._parts.engine, tenant, invoice_id)
        context = telemetry.context_from(claim.invoice.trace_headers)
        attributes: dict[str, str | int] = {"invoice_id": str(invoice_id), "tenant": tenant}
        with tracer.start_as_current_span(
            "invoicing finalize", context=context, attributes=attributes
        ):
            if claim.invoice.status is Status.DRAFT:
                if not await self._freeze(tenant, claim):
                    return False
                claim = await finalizing.claim(self._parts.engine, tenant, invoice_id)
            if claim.invoice.status is Status.FINALIZING:
                await self._complete(tenant, claim)
        return True

    async def _freeze(self, tenant: Tenant, claim: Claim) -> bool:
        with tracer.start_as_current_span("invoicing close periods"):
            closed = [await self._parts.rating.close(tenant, one) for one in claim.period_ids]
            adjusted = [
                one.rated or await self._parts.rating.adjust(tenant, one.period_id, one.sequence)
                for one in claim.adjustments
            ]
        link_usage([*closed, *adjusted])
        with tracer.start_as_current_span("invoicing freeze"):
            return await finalizing.freeze(
                self._parts.engine,
                tenant,
                claim.invoice.invoice_id,
                closed=closed,
                adjusted=adjusted,
            )

    async def _complete(self, tenant: Tenant, claim: Claim) -> None:
        with tracer.start_as_current_span("invoicing apply credits"):
            credits = await self._parts.wallet.apply_credits(
                tenant, claim.invoice, claim.settled, now=self._parts.clock.now()
            )
        with tracer.start_as_current_span("invoicing complete"):
            await finalizing.complete(
                self._parts.engine,
                tenant,
                claim.invoice.invoice_id,
                credits,
                now=self._parts.clock.now(),
            )
        self._parts.committed()


def link_usage(rated: list[RatedPeriod]) -> None:
    """Link the present span to those that folded the usage which is billed."""
    span = trace.get_current_span()
    causes = (traceparent for period in rated for traceparent in period.usage_traceparents)
    for link in telemetry.links_from(causes):
        span.add_link(link.context, link.attributes)


async def idle(worker: AsyncEngine, clock: Clock, facts: FactConsumer) -> Idle:
    """Tell what is left to do at this instant of business time."""
    behind = await facts.lag()
    async with begin_worker(worker) as conn:
        load = await work.load_workload(conn, now=clock.now())
        head = await outbox.load_head(conn)
    reasons = {
        "facts of rating wait": behind,
        "invoices are due": load.due,
        "invoices are being finalized": load.finalizing,
        "drafts wait for a refresh": load.stale,
        "facts are unpublished": head.waiting,
    }
    return Idle(
        busy=[f"{count} {what}" for what, count in reasons.items() if count > 0],
        marks={
            "invoices": load.created,
            "revisions": load.revisions,
            "closed": load.closed,
            "late versions": load.late_versions,
            "outbox": head.seq,
        },
        next_due_at=load.next_due_at,
    )
