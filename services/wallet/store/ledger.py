"""The ledger's rows: inserted by `save_postings` alone, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from services.wallet.domain.ledger import WALLET_ACCOUNTS, Account, Book, Entry, Posting
from services.wallet.store.rows import insert_rows
from services.wallet.store.schema import entries, grant_uses, transactions


async def save_postings(conn: AsyncConnection, tenant: Tenant, books: Sequence[Book]) -> None:
    """Write the transactions that were posted to `books`, with entries and grant uses."""
    posted = [(uuid4(), book, posting) for book in books for posting in book.postings]
    await insert_rows(
        conn,
        transactions,
        [
            {
                "tenant": tenant,
                "transaction_id": transaction_id,
                "wallet_id": book.wallet.wallet_id,
                "reason": posting.reason.value,
                "reference": posting.reference,
                "created_at": posting.at,
            }
            for transaction_id, book, posting in posted
        ],
    )
    await insert_rows(conn, entries, [row for one in posted for row in _entry_rows(tenant, *one)])
    await insert_rows(conn, grant_uses, [row for one in posted for row in _use_rows(tenant, *one)])


def _entry_rows(
    tenant: Tenant, transaction_id: UUID, book: Book, posting: Posting
) -> list[dict[str, Any]]:
    return [
        {
            "tenant": tenant,
            "transaction_id": transaction_id,
            "account": account.value,
            "wallet_id": book.wallet.wallet_id if account in WALLET_ACCOUNTS else None,
            "currency": book.wallet.currency,
            "amount_minor": amount_minor,
        }
        for account, amount_minor in posting.entries().items()
    ]


def _use_rows(
    tenant: Tenant, transaction_id: UUID, book: Book, posting: Posting
) -> list[dict[str, Any]]:
    uses = [(move, use) for move in posting.movements for use in move.uses]
    return [
        {
            "tenant": tenant,
            "transaction_id": transaction_id,
            "place": place,
            "grant_id": use.grant_id,
            "source": move.source.value,
            "target": move.target.value,
            "amount_minor": use.amount_minor,
            "line_id": use.line_id,
        }
        for place, (move, use) in enumerate(uses)
    ]


async def list_entries(
    conn: AsyncConnection, tenant: Tenant, wallet_id: UUID, *, before: int | None, limit: int
) -> list[Entry]:
    """Return entries of a wallet's accounts, newest first, from below the number `before`."""
    query = (
        select(entries, transactions.c.reason, transactions.c.reference, transactions.c.created_at)
        .join_from(
            entries,
            transactions,
            (transactions.c.tenant == entries.c.tenant)
            & (transactions.c.transaction_id == entries.c.transaction_id),
        )
        .where(entries.c.tenant == tenant, entries.c.wallet_id == wallet_id)
        .order_by(entries.c.number.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(entries.c.number < before)
    return [
        Entry(
            number=row.number,
            transaction_id=row.transaction_id,
            account=Account(row.account),
            amount=Money(row.currency, row.amount_minor),
            reason=row.reason,
            reference=row.reference,
            created_at=row.created_at,
        )
        for row in await conn.execute(query)
    ]
