"""Doing a tenant's orders that came together, in one transaction: each gets its own outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from libs import outbox, requests
from libs.errors import TallyError
from libs.requests import Answered, Request
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import lapse, save
from services.wallet.operations.orders import Opened, Order
from services.wallet.operations.session_orders import SessionOrder
from services.wallet.store import books as book_store
from services.wallet.store import holds as hold_store
from services.wallet.store import sessions as session_store
from services.wallet.store import wallets as wallet_store

Outcome = Message | TallyError
Fact = tuple[Message, Mapping[str, str]]


class Overtaken(Exception):
    """A request id was answered elsewhere, for another wallet, while its first answer was made."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An order with its request id, and the trace that its fact belongs to."""

    request: Request
    order: Order[Message]
    headers: Mapping[str, str]


async def fulfil(desk: Desk, asked: Sequence[Asked]) -> list[Outcome]:
    """Do orders in turn; return the answer or the refusal of each.

    It is as if each had come alone, right after the one before it: a refusal leaves nothing
    behind, so its request id may succeed later, and a repeat gets the first answer again.

    Raises:
        Overtaken: nothing was done; once more, it will be.
    """
    async with desk.begin() as conn:
        opened = await _open(conn, desk, asked)
        answered = await requests.find_answers(
            conn, desk.tenant, [one.request.key for one in asked]
        )
        known = set(answered)
        outcomes: list[Outcome] = []
        facts: list[Fact] = []
        for one in asked:
            try:
                outcomes.append(_decide(one, opened, answered, facts))
            except TallyError as refusal:
                outcomes.append(refusal)
        await _save(conn, desk, opened)
        await outbox.append_all(conn, [(desk.tenant, *fact) for fact in facts])
        new = {key: answered[key] for key in answered.keys() - known}
        if new and not await requests.store_answers(conn, desk.tenant, new):
            raise Overtaken
    return outcomes


async def _open(conn: AsyncConnection, desk: Desk, asked: Sequence[Asked]) -> Opened:
    """Lock the wallets, in the order of their ids, and post what is due on them."""
    wallet_ids = {wallet_id for one in asked for wallet_id in one.order.wallet_ids}
    hold_ids = sorted({one.order.hold_id for one in asked if one.order.hold_id is not None})
    books = await book_store.lock_books(
        conn, desk.tenant, wallet_ids=sorted(wallet_ids), hold_ids=hold_ids
    )
    now = desk.now()
    await lapse(conn, desk.tenant, books, now)
    holds = await hold_store.find_holds(conn, desk.tenant, hold_ids)
    metered = [
        one.order.hold_id
        for one in asked
        if one.order.hold_id is not None and isinstance(one.order, SessionOrder)
    ]
    sessions = await session_store.find_of_holds(conn, desk.tenant, metered)
    return Opened(
        now,
        books={book.wallet.wallet_id: book for book in books},
        holds={hold.hold_id: hold for hold in holds},
        sessions={session.hold_id: session for session in sessions},
    )


def _decide(
    asked: Asked, opened: Opened, answered: dict[requests.Key, Answered], facts: list[Fact]
) -> Message:
    request = asked.request
    earlier = answered.get(request.key)
    if earlier is not None:
        earlier.check_same(request)
        return asked.order.repeated(earlier.answer)
    answer, fact = asked.order.carry_out(opened)
    answered[request.key] = Answered(request.digest, answer.SerializeToString())
    if fact is not None:
        facts.append((fact, asked.headers))
    return answer


async def _save(conn: AsyncConnection, desk: Desk, opened: Opened) -> None:
    await hold_store.insert_holds(conn, desk.tenant, opened.placed)
    await hold_store.save_holds(conn, desk.tenant, list(opened.changed.values()))
    await hold_store.add_lots(conn, desk.tenant, opened.lots)
    await session_store.insert_sessions(conn, desk.tenant, opened.opened)
    await session_store.save_sessions(conn, desk.tenant, list(opened.metered.values()))
    rewritten = [opened.books[wallet_id].wallet for wallet_id in sorted(opened.rewritten)]
    await save(conn, desk.tenant, list(opened.books.values()), opened.now)
    await wallet_store.update_wallets(conn, desk.tenant, rewritten)
