"""Topping wallets up: what is given at once, what is bought when its invoice is paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import outbox, requests
from libs.money import Money
from libs.requests import Request
from libs.tenant import Tenant
from services.wallet.domain import burn_down, top_up
from services.wallet.domain.ledger import Book
from services.wallet.domain.top_up import Amounts, TopUp, TopUpStatus
from services.wallet.domain.topping_up import look, situation_of
from services.wallet.domain.wallet import check_currency, check_live, has_ended
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import lapse, save
from services.wallet.operations.messages import grant_message
from services.wallet.operations.top_up_messages import top_up_message
from services.wallet.store import books as book_store
from services.wallet.store import top_up_rules as rule_store
from services.wallet.store import top_ups as store
from services.wallet.store import wallets as wallet_store
from tally.wallet.v1 import events_pb2
from tally.wallet.v1.top_up_pb2 import TopUpResponse


@dataclass(frozen=True, slots=True)
class TopUpOrder:
    """A top-up as somebody asks for it; nothing is None. Not both are."""

    wallet_id: UUID
    paid: Money | None
    granted: Money | None
    requires_payment: bool


async def top_wallet_up(desk: Desk, request: Request, order: TopUpOrder) -> TopUpResponse:
    """Top a wallet up; a repeated `request` gets its first answer again.

    Raises:
        WalletNotFound, WalletTerminated, CurrencyMismatch, TopUpBelowMinimum, TopUpAboveMaximum.
        FieldInvalid: the wallet's credit has lapsed for good, or it would hold too much.
    """
    async with desk.begin() as conn:
        earlier = await requests.claim(conn, desk.tenant, request, TopUpResponse)
        if earlier is not None:
            return earlier
        book = await book_store.lock_book(conn, desk.tenant, order.wallet_id)
        check_live(book.wallet)
        for money in (order.paid, order.granted):
            if money is not None:
                check_currency(book.wallet, money)
        amounts = Amounts(*(one.amount_minor if one else 0 for one in (order.paid, order.granted)))
        book.wallet.limits.check(amounts.paid_minor)
        now = desk.now()
        await lapse(conn, desk.tenant, [book], now)
        made = top_up.opened(
            TopUp(
                top_up_id=uuid4(),
                wallet_id=order.wallet_id,
                currency=book.wallet.currency,
                amounts=amounts,
                requires_payment=order.requires_payment,
                created_at=now,
            )
        )
        await _begin(conn, desk.tenant, book, [made])
        await save(conn, desk.tenant, [book], now)
        answer = TopUpResponse(top_up=top_up_message(made))
        await requests.save_answer(conn, desk.tenant, request, answer)
    return answer


async def look_at_rules(desk: Desk, wallet_id: UUID) -> None:
    """Look at the rules of a wallet that are due, and top it up as they say, each once."""
    async with desk.begin() as conn:
        book = await book_store.lock_book(conn, desk.tenant, wallet_id)
        now = desk.now()
        await lapse(conn, desk.tenant, [book], now)
        recent = await store.load_recent(conn, desk.tenant, wallet_id, now)
        rules = await rule_store.load_live(conn, desk.tenant, wallet_id)
        if has_ended(book.wallet, now):
            ended = [replace(rule, archived_at=now, look_at=None) for rule in rules]
            await rule_store.save_rules(conn, desk.tenant, ended)
            await rule_store.watch(conn, desk.tenant, wallet_id)
            await save(conn, desk.tenant, [book], now)
            return
        made: list[TopUp] = []
        looked = []
        for rule in (one for one in rules if one.is_due(now)):
            situation = situation_of(
                rule,
                [*recent, *made],
                now=now,
                ongoing_minor=book.ongoing_minor(now),
                limits=book.wallet.limits,
            )
            seen = look(rule, situation)
            looked.append(seen.rule)
            if seen.amounts is not None:
                fired = TopUp(
                    top_up_id=uuid4(),
                    wallet_id=wallet_id,
                    currency=book.wallet.currency,
                    amounts=seen.amounts,
                    requires_payment=rule.requires_payment,
                    created_at=now,
                    rule_id=rule.rule_id,
                    occasion=seen.occasion,
                )
                made.append(top_up.opened(fired))
                await _begin(conn, desk.tenant, book, made[-1:])
        # Before the books: where credit was given and there still is too little, they look again.
        await rule_store.save_rules(conn, desk.tenant, looked)
        await save(conn, desk.tenant, [book], now)


async def settle(
    conn: AsyncConnection, tenant: Tenant, top_up_ids: Sequence[UUID], now: datetime
) -> None:
    """Put in what top-ups bought, whose invoices are paid: each once, however often it is told.

    Raises:
        TopUpNotFound: the tenant lacks one of them.
    """
    books, top_ups = await _lock(conn, tenant, top_up_ids)
    await lapse(conn, tenant, list(books.values()), now)
    settled = [done for one in top_ups if (done := top_up.settle(one, now))]
    for one in settled:
        book = books[one.wallet_id]
        if order := one.bought():
            burn_down.put_in(book, order.opened(one.top_up_id, book.wallet, now), now)
            customer_id = book.wallet.customer_id
            shown = grant_message(book.grants[one.top_up_id], book.wallet)
            facts = (
                events_pb2.TopUpSettled(customer_id=customer_id, top_up=top_up_message(one)),
                events_pb2.CreditsGranted(customer_id=customer_id, grant=shown),
            )
            for fact in facts:
                await outbox.append(conn, tenant, fact)
    await store.save_top_ups(conn, tenant, settled)
    await save(conn, tenant, list(books.values()), now)


async def give_up(
    conn: AsyncConnection,
    tenant: Tenant,
    top_up_ids: Sequence[UUID],
    status: TopUpStatus,
    now: datetime,
) -> None:
    """Give up top-ups whose invoices will not be paid; those that were paid stay.

    Raises:
        TopUpNotFound: the tenant lacks one of them.
    """
    books, top_ups = await _lock(conn, tenant, top_up_ids)
    ended = [done for one in top_ups if (done := top_up.give_up(one, status, now))]
    for one in ended:
        customer_id = books[one.wallet_id].wallet.customer_id
        fact = events_pb2.TopUpFailed(customer_id=customer_id, top_up=top_up_message(one))
        await outbox.append(conn, tenant, fact)
    await store.save_top_ups(conn, tenant, ended)
    await rule_store.wake(conn, tenant, sorted({one.wallet_id for one in ended}), now)


async def list_top_ups(
    desk: Desk, wallet_id: UUID, *, status: TopUpStatus | None, before: int | None, limit: int
) -> Sequence[TopUp]:
    """Return a wallet's top-ups, newest first, from below the number `before`.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    async with desk.begin() as conn:
        await wallet_store.load_wallet(conn, desk.tenant, wallet_id, desk.now())
        return await store.list_top_ups(
            conn, desk.tenant, wallet_id, status=status, before=before, limit=limit
        )


async def _begin(conn: AsyncConnection, tenant: Tenant, book: Book, made: Sequence[TopUp]) -> None:
    """Store new top-ups of a locked wallet, put in what they give, and have the rest billed."""
    customer_id = book.wallet.customer_id
    await store.insert_top_ups(conn, tenant, made)
    for one in made:
        if order := one.given():
            grant = order.opened(uuid4(), book.wallet, one.created_at)
            burn_down.put_in(book, grant, one.created_at)
            shown = grant_message(book.grants[grant.grant_id], book.wallet)
            granted = events_pb2.CreditsGranted(customer_id=customer_id, grant=shown)
            await outbox.append(conn, tenant, granted)
        if order := one.bought():
            order.opened(one.top_up_id, book.wallet, one.created_at)  # Else nobody could pay it.
            requested = events_pb2.TopUpRequested(
                customer_id=customer_id,
                top_up=top_up_message(one),
                wallet_name=book.wallet.name,
            )
            await outbox.append(conn, tenant, requested)


async def _lock(
    conn: AsyncConnection, tenant: Tenant, top_up_ids: Sequence[UUID]
) -> tuple[dict[UUID, Book], list[TopUp]]:
    """Return top-ups, and their wallets by id; the top-ups are read once these are locked."""
    named = list(dict.fromkeys(top_up_ids))
    wanted = await store.load_top_ups(conn, tenant, named)
    wallet_ids = sorted({one.wallet_id for one in wanted.values()})
    books = await book_store.lock_books(conn, tenant, wallet_ids=wallet_ids, hold_ids=[])
    top_ups = await store.load_top_ups(conn, tenant, named)
    return {book.wallet.wallet_id: book for book in books}, list(top_ups.values())
