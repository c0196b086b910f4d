"""Reserving unbilled usage in wallets: part of the transaction that takes the fact."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import outbox, telemetry
from libs.tenant import Tenant
from services.wallet.domain.ledger import Book
from services.wallet.domain.reservation import Purse, Unbilled, reserve
from services.wallet.operations.lapsing import running_low, wake_rules
from services.wallet.store import books as book_store
from services.wallet.store import reservations as store


async def reserve_unbilled(
    conn: AsyncConnection, tenant: Tenant, told: Sequence[Unbilled], now: datetime
) -> None:
    """Reserve what is unbilled of periods in their customers' wallets, in place of what was.

    Of several tellings of a period the one with the greatest revision counts, whatever their order.
    Wallets that run low by it are announced.
    """
    latest: dict[object, Unbilled] = {}
    for one in sorted(told, key=lambda one: one.revision):
        latest[one.period_id] = one
    customers = sorted({(one.customer_id, one.currency) for one in latest.values()})
    wallet_ids = await book_store.find_wallets(conn, tenant, customers)
    # In one statement, in the order of their ids: whoever locks several does it so.
    locked = await book_store.lock_books(conn, tenant, wallet_ids=sorted(wallet_ids))
    newer = await store.renew(conn, tenant, list(latest.values()))
    reserved = await store.load_reserved(conn, tenant, wallet_ids)  # Without the renewed ones.
    for book in locked:
        book.reserved = reserved[book.wallet.wallet_id]
    for one in newer:
        mine = [
            book
            for book in locked
            if (book.wallet.customer_id, book.wallet.currency) == (one.customer_id, one.currency)
            and book.wallet.terminated_at is None
        ]
        amounts = reserve([_purse(book, one, now) for book in mine], one.lines)
        await store.save_reservations(conn, tenant, one, amounts)
        for book in mine:
            book.reserved.unbilled[one.subscription_id] += amounts.get(book.wallet.wallet_id, 0)
    await wake_rules(conn, tenant, locked, now)
    headers = telemetry.headers()
    low = [running_low(book, now) for book in locked]
    await outbox.append_all(conn, [(tenant, fact, headers) for facts in low for fact in facts])


def _purse(book: Book, unbilled: Unbilled, now: datetime) -> Purse:
    return Purse(
        wallet=book.wallet,
        early_minor=book.reserved.early_left(unbilled.subscription_id),
        spendable_minor=book.balance(now).spendable_minor,
        tops_up=book.watched_minor is not None,
    )
