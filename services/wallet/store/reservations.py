"""What wallets are to pay of usage that is not invoiced yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Uuid,
    any_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.wallet.domain.reservation import Reserved, Unbilled
from services.wallet.store.holds import OF_TENANT
from services.wallet.store.schema import lots, reservations, sessions, unbilled_periods

# Built once: it is read with every lock of a wallet. Early payments only of what is reserved, too.
_of_wallets = any_(bindparam("wallet_ids", type_=ARRAY(Uuid)))
_unbilled = (
    select(
        reservations.c.wallet_id,
        reservations.c.subscription_id,
        func.sum(reservations.c.amount_minor).label("unbilled_minor"),
    )
    .where(reservations.c.tenant == OF_TENANT, reservations.c.wallet_id == _of_wallets)
    .group_by(reservations.c.wallet_id, reservations.c.subscription_id)
    .subquery("unbilled")
)
_paid = union_all(
    select(lots.c.wallet_id, lots.c.subscription_id, lots.c.left_minor).where(
        lots.c.tenant == OF_TENANT, lots.c.wallet_id == _of_wallets, lots.c.left_minor > 0
    ),
    select(sessions.c.wallet_id, sessions.c.subscription_id, sessions.c.covered_minor).where(
        sessions.c.tenant == OF_TENANT, sessions.c.wallet_id == _of_wallets, ~sessions.c.closed
    ),
).subquery("paid")
_captured = (
    select(
        _paid.c.wallet_id,
        _paid.c.subscription_id,
        func.sum(_paid.c.left_minor).label("captured_minor"),
    )
    .group_by(_paid.c.wallet_id, _paid.c.subscription_id)
    .subquery("captured")
)
_same = (_unbilled.c.wallet_id == _captured.c.wallet_id) & (
    _unbilled.c.subscription_id == _captured.c.subscription_id
)
SELECT_RESERVED = select(
    func.coalesce(_unbilled.c.wallet_id, _captured.c.wallet_id).label("wallet_id"),
    func.coalesce(_unbilled.c.subscription_id, _captured.c.subscription_id).label("of"),
    func.coalesce(_unbilled.c.unbilled_minor, 0).label("unbilled_minor"),
    func.coalesce(_captured.c.captured_minor, 0).label("early_minor"),
).select_from(_unbilled.join(_captured, _same, full=True))


async def load_reserved(
    conn: AsyncConnection, tenant: Tenant, wallet_ids: Sequence[UUID]
) -> dict[UUID, Reserved]:
    """Return what of each wallet is reserved. To decide by it, lock the wallets before."""
    found = {wallet_id: Reserved() for wallet_id in wallet_ids}
    values = {"of_tenant": tenant, "wallet_ids": wallet_ids}
    for row in await conn.execute(SELECT_RESERVED, values):
        found[row.wallet_id].unbilled[row.of] = int(row.unbilled_minor)
        found[row.wallet_id].early[row.of] = int(row.early_minor)
    return found


async def renew(conn: AsyncConnection, tenant: Tenant, told: Sequence[Unbilled]) -> list[Unbilled]:
    """Take note of revisions, one a period; return those that are greater than what is known.

    What was reserved for these is taken away. A settled period stays as it is. The wallets of
    their customers are locked by `conn`.
    """
    row = upsert(unbilled_periods)
    noted = await conn.execute(
        row.values(
            [
                {
                    "tenant": tenant,
                    "period_id": one.period_id,
                    "revision": one.revision,
                    "settled": False,
                }
                for one in sorted(told, key=lambda one: one.period_id)
            ]
        )
        .on_conflict_do_update(
            index_elements=list(unbilled_periods.primary_key),
            set_={"revision": row.excluded.revision},
            where=(unbilled_periods.c.revision < row.excluded.revision)
            & ~unbilled_periods.c.settled,
        )
        .returning(unbilled_periods.c.period_id)
    )
    newer = {one.period_id for one in noted}
    await _delete(conn, tenant, newer)
    return [one for one in told if one.period_id in newer]


async def save_reservations(
    conn: AsyncConnection, tenant: Tenant, unbilled: Unbilled, amounts: Mapping[UUID, int]
) -> None:
    """Store what wallets, locked by `conn`, are to pay of a period, in minor units."""
    if amounts:
        await conn.execute(
            insert(reservations),
            [
                {
                    "tenant": tenant,
                    "period_id": unbilled.period_id,
                    "wallet_id": wallet_id,
                    "subscription_id": unbilled.subscription_id,
                    "amount_minor": amount,
                }
                for wallet_id, amount in amounts.items()
            ],
        )


async def settle(conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]) -> None:
    """Take away what was reserved for invoiced periods, for good: what is told later is late.

    The wallets of their customer are locked by `conn`.
    """
    if not period_ids:
        return
    row = upsert(unbilled_periods)
    ids = func.unnest(literal(sorted(period_ids), ARRAY(Uuid))).column_valued("id")
    settled = row.from_select(
        ["tenant", "period_id", "revision", "settled"],
        select(literal(tenant), ids, literal(0), literal(True)),
    )
    await conn.execute(
        settled.on_conflict_do_update(
            index_elements=list(unbilled_periods.primary_key), set_={"settled": True}
        )
    )
    await _delete(conn, tenant, period_ids)


async def _delete(conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]) -> None:
    await conn.execute(
        delete(reservations).where(
            reservations.c.tenant == tenant, reservations.c.period_id.in_(period_ids)
        )
    )
