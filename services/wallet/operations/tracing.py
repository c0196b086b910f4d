"""Following credit: from a grant to what it paid, and from what was paid to the grants."""

from __future__ import annotations

from collections.abc import Sequence

from services.wallet.domain.ledger import GrantUse
from services.wallet.operations.desk import Desk
from services.wallet.store import grant_uses as store
from services.wallet.store.grant_uses import UseKey, UsesAsked


async def list_uses(
    desk: Desk, asked: UsesAsked, *, after: UseKey | None, limit: int
) -> Sequence[GrantUse]:
    """Return movements of grants, the oldest first, from behind `after`."""
    async with desk.begin() as conn:
        return await store.list_uses(conn, desk.tenant, asked, after=after, limit=limit)
