"""Work in the background: wallets are told what usage is unbilled, that of drafts by these."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from libs.db import begin, begin_worker
from libs.errors import NotFound
from libs.tenant import Tenant
from services.invoicing.batches import Batches
from services.invoicing.loops import Parts
from services.invoicing.operations import unbilled
from services.invoicing.store import invoices
from services.invoicing.store import unbilled as store

FOLLOWED_AT_ONCE = 100


class Teller:
    """Prices what rating said has changed, and has rating follow customers with wallets."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batches = Batches("teller", self.tell, batch_max=1)

    async def step(self) -> bool:
        """Tell what changed; whatever one process leaves undone any other does."""
        async with begin_worker(self._parts.worker) as conn:
            unfollowed = await store.find_unfollowed(conn, limit=FOLLOWED_AT_ONCE)
            found = await store.find_untold(conn, limit=self._batches.limit)
        for tenant, customer_id in unfollowed:
            await self._parts.rating.follow(tenant, customer_id)
            async with begin(self._parts.engine, tenant) as conn:
                # They tell what they bill as they are refreshed.
                await invoices.mark_drafts_stale(conn, tenant, customer_id=customer_id)
                await store.mark_followed(conn, tenant, customer_id)
        told = await self._batches.run(found)
        return told or bool(unfollowed)

    async def tell(self, tenant: Tenant, period_ids: Sequence[UUID]) -> bool:
        """Tell what is unbilled of a period, as of now; a repeat tells nothing."""
        [period_id] = period_ids
        engine = self._parts.engine
        before = await unbilled.load_told(engine, tenant, period_id)
        if before is None:
            return True
        rated = None
        if not await unbilled.is_on_invoice(engine, tenant, period_id):
            try:
                rated = await self._parts.rating.rate(tenant, period_id)
            except NotFound:
                pass  # It is not billed any more.
        await unbilled.tell(engine, tenant, before, rated)
        self._parts.committed()
        return True
