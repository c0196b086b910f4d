"""Locked wallets: read with all that has something left, written with what was posted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
    union,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.wallet.domain.ledger import WALLET_ACCOUNTS, Book
from services.wallet.domain.wallet import WalletNotFound
from services.wallet.store.grants import ANY_LEFT, grant_of, grant_row
from services.wallet.store.holds import IS_OPEN, OF_TENANT
from services.wallet.store.ledger import save_postings
from services.wallet.store.reservations import load_reserved
from services.wallet.store.rows import columns_of, given, insert_rows, write
from services.wallet.store.schema import grants, holds, wallets
from services.wallet.store.wallets import wallet_of

# Built once: SQLAlchemy takes longer to build such a statement than PostgreSQL to execute it.
WANTED = union(
    select(func.unnest(bindparam("wallet_ids", type_=ARRAY(Uuid)))),
    select(holds.c.wallet_id).where(
        holds.c.tenant == OF_TENANT,
        holds.c.hold_id == any_(bindparam("hold_ids", type_=ARRAY(Text))),
    ),
)
SELECT_WANTED = select(wallets).where(
    wallets.c.tenant == OF_TENANT, wallets.c.wallet_id.in_(WANTED)
)
SELECT_LEFT = select(grants).where(
    grants.c.tenant == OF_TENANT,
    grants.c.wallet_id == any_(bindparam("wallet_ids", type_=ARRAY(Uuid))),
    ANY_LEFT,
)
BALANCES = tuple(f"{name}_minor" for name in WALLET_ACCOUNTS)
_moved = given(grants, "grant_id", *BALANCES)
UPDATE_GRANTS = (
    update(grants)
    .where(
        grants.c.tenant == OF_TENANT,
        # Else a plan made for few rows may read them all.
        grants.c.grant_id == any_(bindparam("each_grant_id", type_=ARRAY(Uuid))),
        grants.c.grant_id == _moved.c.grant_id,
    )
    .values({name: _moved.c[name] for name in BALANCES})
)


async def lock_book(conn: AsyncConnection, tenant: Tenant, wallet_id: UUID) -> Book:
    """Lock one wallet as `lock_books` does.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    found = await lock_books(conn, tenant, wallet_ids=[wallet_id])
    if not found:
        raise WalletNotFound(f"there is no wallet {wallet_id}")
    return found[0]


async def lock_books(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    wallet_ids: Sequence[UUID] = (),
    hold_ids: Sequence[str] = (),
) -> list[Book]:
    """Read wallets, and those of holds, with their grants, locked until the transaction ends.

    The lock makes check-then-write safe: two holds on one wallet wait for each other, holds on
    different wallets do not. Take it before any other read of those wallets. What the tenant does
    not have is left out.
    """
    wanted = {"wallet_ids": wallet_ids, "hold_ids": hold_ids}
    return await _lock_books(conn, tenant, SELECT_WANTED, wanted)


async def lock_books_of_customer(
    conn: AsyncConnection, tenant: Tenant, customer_id: str, currency: str
) -> list[Book]:
    """Lock the customer's wallets of one currency, in the order of their ids."""
    wanted = select(wallets).where(
        wallets.c.tenant == OF_TENANT,
        wallets.c.customer_id == customer_id,
        wallets.c.currency == currency,
    )
    return await _lock_books(conn, tenant, wanted, {})


async def find_wallets(
    conn: AsyncConnection, tenant: Tenant, customers: Sequence[tuple[str, str]]
) -> list[UUID]:
    """Return the wallets of customers, each given with a currency."""
    query = select(wallets.c.wallet_id).where(
        wallets.c.tenant == tenant,
        tuple_(wallets.c.customer_id, wallets.c.currency).in_(customers),
    )
    return list((await conn.execute(query)).scalars())


async def add_grants(
    conn: AsyncConnection, tenant: Tenant, books: Sequence[Book], grant_ids: Collection[UUID]
) -> None:
    """Read more grants of `books`, locked by `conn`: those that have nothing left."""
    mine = {book.wallet.wallet_id: book.grants for book in books}
    query = select(grants).where(grants.c.tenant == tenant, grants.c.grant_id.in_(grant_ids))
    for row in await conn.execute(query):
        if row.wallet_id in mine:
            mine[row.wallet_id].setdefault(row.grant_id, grant_of(row))


async def save_books(conn: AsyncConnection, tenant: Tenant, books: Sequence[Book]) -> None:
    """Write what was posted to `books`, locked by `conn`: grants, ledger and balances.

    Save holds before it, so that it sees which of them is due next.
    """
    changed = [book for book in books if book.postings or book.rescheduled]
    if not changed:
        return
    await _save_grants(conn, tenant, changed)
    await save_postings(conn, tenant, changed)
    await _save_balances(conn, tenant, changed)


async def _lock_books(
    conn: AsyncConnection, tenant: Tenant, wanted: Select[Any], values: dict[str, Any]
) -> list[Book]:
    locking = wanted.order_by(wallets.c.wallet_id).with_for_update(of=wallets)
    rows = await conn.execute(locking, {"of_tenant": tenant, **values})
    books = {
        row.wallet_id: Book(wallet_of(row), {}, due_at=row.due_at, watched_minor=row.watched_minor)
        for row in rows
    }
    if books:
        # A statement of its own: it sees what the transactions we waited for have committed.
        left = {"of_tenant": tenant, "wallet_ids": list(books)}
        for row in await conn.execute(SELECT_LEFT, left):
            books[row.wallet_id].grants[row.grant_id] = grant_of(row)
        for wallet_id, reserved in (await load_reserved(conn, tenant, list(books))).items():
            books[wallet_id].reserved = reserved
            books[wallet_id].reserved_before_minor = reserved.amount_minor
    return list(books.values())


async def _save_grants(conn: AsyncConnection, tenant: Tenant, books: Sequence[Book]) -> None:
    # In the order in which they came into the book: new ones are numbered by age.
    moved = [
        grant
        for book in books
        for touched in (book.moved_grants(),)
        for grant in book.grants.values()
        if grant.grant_id in touched
    ]
    opened = [grant_row(tenant, grant) for grant in moved if not grant.number]
    await insert_rows(conn, grants, opened)
    changed = [
        {
            "grant_id": grant.grant_id,
            "available_minor": grant.available_minor,
            "held_minor": grant.held_minor,
            "captured_minor": grant.captured_minor,
        }
        for grant in moved
        if grant.number
    ]
    if changed:
        await write(conn, UPDATE_GRANTS, [{"of_tenant": tenant, **columns_of(changed)}])


async def _save_balances(conn: AsyncConnection, tenant: Tenant, books: Sequence[Book]) -> None:
    """Add to the running balances, and note when the next hold or grant of each wallet lapses.

    It comes last: what lapses next is read from holds and grants as they are by now.
    """
    added = [
        {"wallet_id": book.wallet.wallet_id}
        | {f"{name}_minor": change.get(name, 0) for name in WALLET_ACCOUNTS}
        for book, change in ((book, book.changes()) for book in books)
    ]
    await write(conn, UPDATE_WALLETS, [{"of_tenant": tenant, **columns_of(added)}])


def next_due() -> Any:
    """Return when the next hold or grant of a wallet lapses, as an expression of its row."""
    hold = select(func.min(holds.c.expires_at)).where(
        holds.c.tenant == wallets.c.tenant,
        holds.c.wallet_id == wallets.c.wallet_id,
        IS_OPEN,
    )
    # What is held or captured is pinned: it lapses when it is given back. ANY_LEFT: the index.
    grant = select(func.min(grants.c.expires_at)).where(
        grants.c.tenant == wallets.c.tenant,
        grants.c.wallet_id == wallets.c.wallet_id,
        ANY_LEFT,
        grants.c.available_minor > literal_column("0"),
    )
    return func.least(hold.scalar_subquery(), grant.scalar_subquery())


_added = given(wallets, "wallet_id", *BALANCES)
UPDATE_WALLETS = (
    update(wallets)
    .where(
        wallets.c.tenant == OF_TENANT,
        wallets.c.wallet_id == any_(bindparam("each_wallet_id", type_=ARRAY(Uuid))),
        wallets.c.wallet_id == _added.c.wallet_id,
    )
    .values({name: wallets.c[name] + _added.c[name] for name in BALANCES} | {"due_at": next_due()})
)
