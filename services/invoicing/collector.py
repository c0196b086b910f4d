"""Work in the background: what became of the payment of invoices."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from libs.db import begin_worker
from libs.tenant import Tenant
from services.invoicing.batches import Batches
from services.invoicing.loops import Parts
from services.invoicing.operations.paying import mark_overdue
from services.invoicing.store.receivables import find_overdue


class Overdue:
    """Flags and announces invoices whose due date has passed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batches = Batches("overdue", self._mark)

    async def step(self) -> bool:
        """Flag what is overdue by now."""
        now = self._parts.clock.now()
        async with begin_worker(self._parts.worker) as conn:
            found = await find_overdue(conn, now=now, limit=self._batches.limit)
        return await self._batches.run(found)

    async def _mark(self, tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        now = self._parts.clock.now()
        done = await mark_overdue(self._parts.engine, tenant, invoice_ids, now=now)
        self._parts.committed()
        return done
