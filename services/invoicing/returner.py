"""Work in the background: wallets take back what they paid of voided invoices."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from libs.db import begin_worker
from libs.tenant import Tenant
from services.invoicing.batches import Batches
from services.invoicing.loops import Parts
from services.invoicing.operations import voiding
from services.invoicing.store import voidings


class Returner:
    """Asks wallets to take back credits; whatever one process leaves undone any other does."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batches = Batches("returner", self.give_back, batch_max=1)

    async def step(self) -> bool:
        """Give back the credits of what was voided."""
        async with begin_worker(self._parts.worker) as conn:
            found = await voidings.find_unreturned(conn, limit=self._batches.limit)
        return await self._batches.run(found)

    async def give_back(self, tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        """Give back the credits of a voided invoice, as of its voiding; a repeat does nothing."""
        [invoice_id] = invoice_ids
        parts = self._parts
        voided_at = await voiding.needs_return(parts.engine, tenant, invoice_id)
        if voided_at is None:
            return True
        await parts.wallet.return_credits(tenant, invoice_id, voided_at=voided_at)
        await voiding.mark_returned(parts.engine, tenant, invoice_id, now=parts.clock.now())
        parts.committed()
        return True
