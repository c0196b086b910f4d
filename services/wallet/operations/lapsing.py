"""Lapsing: holds at their deadline and grants at their expiry, in whatever transaction is first.

Every operation on a wallet posts what is due before it decides, so nobody ever sees or spends
what has lapsed; a loop does it for wallets that nobody touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import outbox, telemetry
from libs.money import Money
from libs.tenant import Tenant
from libs.wire import money_message
from services.wallet.domain import expiry
from services.wallet.domain.ledger import Book
from services.wallet.domain.level import Level, levels_between, spendable_before
from services.wallet.operations.desk import Desk
from services.wallet.operations.messages import hold_message
from services.wallet.store import books as book_store
from services.wallet.store import holds as hold_store
from services.wallet.store import top_up_rules as rule_store
from services.wallet.store import wallets as wallet_store
from tally.wallet.v1 import events_pb2


async def settle(desk: Desk, wallet_id: UUID) -> None:
    """Post what is due on a wallet."""
    async with desk.begin() as conn:
        await catch_up(conn, desk, wallet_id)


async def catch_up(conn: AsyncConnection, desk: Desk, wallet_id: UUID) -> None:
    """Post what is due on a wallet before it is read; locks it only if something is."""
    if await wallet_store.is_due(conn, desk.tenant, wallet_id, desk.now()):
        book = await book_store.lock_book(conn, desk.tenant, wallet_id)
        await lapse(conn, desk.tenant, [book], desk.now())
        await save(conn, desk.tenant, [book], desk.now())


async def lapse(
    conn: AsyncConnection, tenant: Tenant, books: Sequence[Book], now: datetime
) -> None:
    """Post to locked books what is due by `now`; `save` writes it with what comes after."""
    lapsing = [book for book in books if book.due_at is not None and book.due_at <= now]
    if not lapsing:
        return
    wallet_ids = [book.wallet.wallet_id for book in lapsing]
    due = await hold_store.find_due(conn, tenant, wallet_ids, now)
    expired = []
    for book in lapsing:
        mine = [hold for hold in due if hold.wallet_id == book.wallet.wallet_id]
        expired += expiry.expire_due(book, mine, now)
    await hold_store.save_holds(conn, tenant, expired)
    facts = [events_pb2.HoldExpired(hold=hold_message(hold)) for hold in expired]
    headers = telemetry.headers()
    await outbox.append_all(conn, [(tenant, fact, headers) for fact in facts])


async def save(conn: AsyncConnection, tenant: Tenant, books: Sequence[Book], now: datetime) -> None:
    """Write what was posted to locked books; announce what expired, and who runs low by it.

    Rules that top up are to look at those that fell low. Save holds before it, so that it sees
    which of them is due next.
    """
    await book_store.save_books(conn, tenant, books)
    await wake_rules(conn, tenant, [book for book in books if book.postings], now)
    headers = telemetry.headers()
    told = [(credits_expired(book), running_low(book, now)) for book in books]
    facts = [fact for expired, low in told for fact in (*expired, *low)]
    await outbox.append_all(conn, [(tenant, fact, headers) for fact in facts])


async def wake_rules(
    conn: AsyncConnection, tenant: Tenant, books: Sequence[Book], now: datetime
) -> None:
    """Have rules that top up look at those of the locked books that are low."""
    low = [book.wallet.wallet_id for book in books if book.is_low(now)]
    if low:
        await rule_store.wake(conn, tenant, low, now)


def credits_expired(book: Book) -> list[events_pb2.CreditsExpired]:
    """Return the facts about credit that lapsed in what was posted."""
    return [
        events_pb2.CreditsExpired(
            customer_id=book.wallet.customer_id,
            wallet_id=str(book.wallet.wallet_id),
            grant_id=str(use.grant_id),
            amount=money_message(Money(book.wallet.currency, use.amount_minor)),
        )
        for use in expiry.lapsed_uses(book)
    ]


def running_low(
    book: Book, now: datetime
) -> list[events_pb2.BalanceLow | events_pb2.BalanceDepleted]:
    """Return the facts about levels that what can be spent has gone down to."""
    wallet = book.wallet
    spendable_minor = book.balance(now).spendable_minor
    levels = levels_between(spendable_before(book, now), spendable_minor, wallet.low_minor)
    low = events_pb2.BalanceLow(
        customer_id=wallet.customer_id,
        wallet_id=str(wallet.wallet_id),
        spendable=money_message(Money(wallet.currency, spendable_minor)),
        threshold=money_message(Money(wallet.currency, wallet.low_minor)),
    )
    depleted = events_pb2.BalanceDepleted(
        customer_id=low.customer_id, wallet_id=low.wallet_id, spendable=low.spendable
    )
    return [low if level is Level.LOW else depleted for level in levels]
