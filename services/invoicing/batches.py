"""Working on many invoices at once, so that one that fails holds up no other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.tenant import Tenant
from libs.worker import PASSING, retry_seconds
from services.invoicing.store.work import Reference

log = logging.getLogger(__name__)

FOUND_MAX = 200
BATCH_MAX = 50  # Invoices in a transaction: others wait that long for the tenant's numbers.
PARALLEL = 4  # Batches worked on at once: each takes a connection now and then.

Work = Callable[[Tenant, Sequence[UUID]], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Failure:
    """How often an invoice failed in a row, until when it waits, and whether that may mend."""

    times: int
    until: float
    passing: bool


class Batches:
    """Does `work` for many invoices, those of a tenant together, a few batches at a time.

    A batch that fails is done one by one. What fails then waits, ever longer, and what failed for
    a reason of its own stays alone: so a single invoice that a peer refuses neither stops the
    others nor is asked for in a hurry.
    """

    def __init__(self, name: str, work: Work, *, batch_max: int = BATCH_MAX) -> None:
        self._name = name
        self._work = work
        self._batch_max = batch_max
        self._slots = asyncio.Semaphore(PARALLEL)
        self._failing: dict[Reference, Failure] = {}

    @property
    def limit(self) -> int:
        """How many invoices to look for, so that those that wait never hide the others."""
        return FOUND_MAX + len(self._failing)

    async def run(self, found: Sequence[Reference]) -> bool:
        """Work on what was found and does not wait; return whether any of it got done."""
        known = set(found)
        self._failing = {key: kept for key, kept in self._failing.items() if key in known}
        now = time.monotonic()
        together: dict[Tenant, list[UUID]] = {}
        batches: list[tuple[Tenant, list[UUID]]] = []
        for tenant, invoice_id in found:
            failure = self._failing.get((tenant, invoice_id))
            if failure is None or (failure.until <= now and failure.passing):
                together.setdefault(tenant, []).append(invoice_id)
            elif failure.until <= now:
                batches.append((tenant, [invoice_id]))
        for tenant, of_tenant in together.items():
            batches += [(tenant, each) for each in parts_of(of_tenant, self._batch_max)]
        return any(await asyncio.gather(*(self._attempt(*batch) for batch in batches)))

    async def _attempt(self, tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        try:
            async with self._slots:
                done = await self._work(tenant, invoice_ids)
        except Exception as error:
            if len(invoice_ids) == 1:
                self._note((tenant, invoice_ids[0]), error)
                return False
            return any(await asyncio.gather(*(self._attempt(tenant, [one]) for one in invoice_ids)))
        for invoice_id in invoice_ids:
            self._failing.pop((tenant, invoice_id), None)
        return done

    def _note(self, reference: Reference, error: Exception) -> None:
        before = self._failing.get(reference)
        times = before.times + 1 if before else 1
        passing = isinstance(error, PASSING)
        until = time.monotonic() + retry_seconds(times)
        self._failing[reference] = Failure(times, until, passing)
        tenant, invoice_id = reference
        fields = {"work": self._name, "tenant": tenant, "invoice_id": str(invoice_id)}
        if passing:
            log.warning("invoice waits for a peer", extra=fields | {"error": str(error)})
        else:
            log.error("invoice cannot go on", extra=fields, exc_info=error)


def parts_of(invoice_ids: list[UUID], size: int) -> list[list[UUID]]:
    """Return pieces of at most `size`, in order."""
    return [invoice_ids[at : at + size] for at in range(0, len(invoice_ids), size)]
