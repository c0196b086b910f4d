"""Reading holds. What changes them is among the `orders`."""

from __future__ import annotations

from uuid import UUID

from services.wallet.domain.hold import Hold, HoldStatus
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import catch_up
from services.wallet.store import holds as hold_store
from services.wallet.store import wallets as wallet_store
from services.wallet.store.holds import HoldKey


async def list_holds(
    desk: Desk,
    wallet_id: UUID,
    *,
    status: HoldStatus | None,
    subscription_id: str | None,
    before: HoldKey | None,
    limit: int,
) -> list[Hold]:
    """Return a wallet's holds, newest first, from those older than `before`; what is due expired.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    async with desk.begin() as conn:
        await catch_up(conn, desk, wallet_id)
        await wallet_store.load_wallet(conn, desk.tenant, wallet_id, desk.now())
        return await hold_store.list_holds(
            conn,
            desk.tenant,
            wallet_id,
            status=status,
            subscription_id=subscription_id,
            before=before,
            limit=limit,
        )


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
