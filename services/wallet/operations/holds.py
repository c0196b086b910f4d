"""Reading holds. What changes them is among the `orders`."""

from __future__ import annotations

from services.wallet.domain.hold import Hold, HoldStatus
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import catch_up
from services.wallet.store import holds as hold_store


async def get_hold(desk: Desk, hold_id: str) -> Hold:
    """Return a hold, expired if its deadline has passed.

    Raises:
        HoldNotFound: the tenant has no such hold.
    """
    async with desk.begin() as conn:
        hold = await hold_store.load_hold(conn, desk.tenant, hold_id)
        if hold.status is not HoldStatus.OPEN or hold.expires_at > desk.now():
            return hold
        await catch_up(conn, desk, hold.wallet_id)
        return await hold_store.load_hold(conn, desk.tenant, hold_id)
