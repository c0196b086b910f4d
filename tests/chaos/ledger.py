"""What no RPC tells of the ledger: the accounts of the tenant are the other side of each entry."""

from __future__ import annotations

from sqlalchemy import text

from libs import db

UNBALANCED = text(
    "SELECT transaction_id, sum(amount_minor) AS total FROM entries WHERE tenant = :tenant"
    " GROUP BY transaction_id, currency HAVING sum(amount_minor) <> 0 ORDER BY 1"
)
STRAYED = text(
    "SELECT wallet_id, available_minor, held_minor, captured_minor, summed.* FROM wallets,"
    " LATERAL (SELECT"
    " coalesce(sum(amount_minor) FILTER (WHERE account = 'available'), 0) AS available,"
    " coalesce(sum(amount_minor) FILTER (WHERE account = 'held'), 0) AS held,"
    " coalesce(sum(amount_minor) FILTER (WHERE account = 'captured'), 0) AS captured"
    " FROM entries WHERE entries.tenant = wallets.tenant"
    " AND entries.wallet_id = wallets.wallet_id) AS summed"
    " WHERE wallets.tenant = :tenant AND (available_minor, held_minor, captured_minor)"
    " <> (summed.available, summed.held, summed.captured) ORDER BY 1"
)


async def find_unbalanced(url: str, tenant: int) -> list[str]:
    """Return the transactions that do not sum to zero, and the wallets that stray from them.

    `url` is that of the wallet's database for the worker, who sees all tenants.
    """
    engine = db.connect(url, connections_max=1)
    try:
        async with db.begin_worker(engine) as conn:
            unbalanced = (await conn.execute(UNBALANCED, {"tenant": tenant})).all()
            strayed = (await conn.execute(STRAYED, {"tenant": tenant})).all()
    finally:
        await engine.dispose()
    return [f"transaction {row.transaction_id} sums to {row.total}" for row in unbalanced] + [
        f"wallet {row.wallet_id} stores {tuple(row)[1:4]}, its entries give {tuple(row)[4:]}"
        for row in strayed
    ]
