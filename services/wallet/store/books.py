"""Locked wallets: read with all that has something left, written with what was posted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Select, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.wallet.domain.hold import HoldNotFound
from services.wallet.domain.ledger import WALLET_ACCOUNTS, Book
from services.wallet.domain.wallet import WalletNotFound
from services.wallet.store.grants import LEFT, grant_of, grant_row
from services.wallet.store.ledger import save_postings
from services.wallet.store.schema import grants, holds, wallets
from services.wallet.store.wallets import wallet_of


async def lock_book(conn: AsyncConnection, tenant: Tenant, wallet_id: UUID) -> Book:
    """Read a wallet and its grants, locked until the caller's transaction ends.

    The lock makes check-then-write safe: two holds on one wallet wait for each other, holds on
    different wallets do not. Take it before any other read of that wallet.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    wanted = select(wallets).filter_by(tenant=tenant, wallet_id=wallet_id)
    [*found] = await _lock_books(conn, tenant, wanted)
    if not found:
        raise WalletNotFound(f"there is no wallet {wallet_id}")
    return found[0]


async def lock_book_of_hold(conn: AsyncConnection, tenant: Tenant, hold_id: str) -> Book:
    """Lock the wallet that a hold is on, as `lock_book` does.

    Raises:
        HoldNotFound: the tenant has no such hold.
    """
    hold = select(holds.c.wallet_id).filter_by(tenant=tenant, hold_id=hold_id).scalar_subquery()
    wanted = select(wallets).where(wallets.c.tenant == tenant, wallets.c.wallet_id == hold)
    [*found] = await _lock_books(conn, tenant, wanted)
    if not found:
        raise HoldNotFound(f"there is no hold {hold_id}")
    return found[0]


async def lock_books_of_customer(
    conn: AsyncConnection, tenant: Tenant, customer_id: str, currency: str
) -> list[Book]:
    """Lock the customer's wallets of one currency, in the order of their ids."""
    wanted = select(wallets).filter_by(tenant=tenant, customer_id=customer_id, currency=currency)
    return await _lock_books(conn, tenant, wanted)


async def save_books(conn: AsyncConnection, tenant: Tenant, books: Sequence[Book]) -> None:
    """Write what was posted to `books`, locked by `conn`: grants, ledger and balances.

    Save holds before it, so that it sees which of them is due next.
    """
    changed = [book for book in books if book.postings]
    if not changed:
        return
    await _save_grants(conn, tenant, changed)
    await save_postings(conn, tenant, changed)
    await _save_balances(conn, tenant, changed)


async def _lock_books(conn: AsyncConnection, tenant: Tenant, wanted: Select[Any]) -> list[Book]:
    locking = wanted.order_by(wallets.c.wallet_id).with_for_update(of=wallets)
    locked = [wallet_of(row) for row in await conn.execute(locking)]
    # A statement of its own: it sees what the transactions we waited for have committed.
    wallet_ids = [wallet.wallet_id for wallet in locked]
    left = select(grants).where(
        grants.c.tenant == tenant, grants.c.wallet_id.in_(wallet_ids), LEFT > 0
    )
    found = [grant_of(row) for row in await conn.execute(left)] if locked else []
    return [
        Book(wallet, {g.grant_id: g for g in found if g.wallet_id == wallet.wallet_id})
        for wallet in locked
    ]


async def _save_grants(conn: AsyncConnection, tenant: Tenant, books: Sequence[Book]) -> None:
    moved = [book.grants[grant_id] for book in books for grant_id in sorted(book.moved_grants())]
    if opened := [grant for grant in moved if not grant.number]:
        await conn.execute(insert(grants), [grant_row(tenant, grant) for grant in opened])
    if changed := [grant for grant in moved if grant.number]:
        await conn.execute(
            update(grants)
            .where(grants.c.tenant == tenant, grants.c.grant_id == bindparam("moved"))
            .values({f"{name}_minor": bindparam(name.value) for name in WALLET_ACCOUNTS}),
            [
                {
                    "moved": grant.grant_id,
                    "available": grant.available_minor,
                    "held": grant.held_minor,
                    "captured": grant.captured_minor,
                }
                for grant in changed
            ],
        )


async def _save_balances(conn: AsyncConnection, tenant: Tenant, books: Sequence[Book]) -> None:
    """Add to the running balances, and note when the next hold or grant of each wallet lapses.

    It comes last: what lapses next is read from holds and grants as they are by now.
    """
    changes = [(book.wallet.wallet_id, book.changes()) for book in books]
    added = {
        f"{account}_minor": wallets.c[f"{account}_minor"]
        + bindparam(account.value, type_=BigInteger)
        for account in WALLET_ACCOUNTS
    }
    await conn.execute(
        update(wallets)
        .where(wallets.c.tenant == tenant, wallets.c.wallet_id == bindparam("changed"))
        .values(**added, due_at=next_due()),
        [
            {"changed": wallet_id} | {name.value: change.get(name, 0) for name in WALLET_ACCOUNTS}
            for wallet_id, change in changes
        ],
    )


def next_due() -> Any:
    """Return when the next hold or grant of a wallet lapses, as an expression of its row."""
    hold = select(func.min(holds.c.expires_at)).where(
        holds.c.tenant == wallets.c.tenant,
        holds.c.wallet_id == wallets.c.wallet_id,
        holds.c.status == "open",
    )
    # What is held or captured is pinned: it lapses when it is given back. LEFT names the index.
    grant = select(func.min(grants.c.expires_at)).where(
        grants.c.tenant == wallets.c.tenant,
        grants.c.wallet_id == wallets.c.wallet_id,
        LEFT > 0,
        grants.c.available_minor > 0,
    )
    return func.least(hold.scalar_subquery(), grant.scalar_subquery())
