"""Placing holds and resolving them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from libs import outbox, requests
from libs.money import Money
from libs.requests import Request
from libs.wire import money_message
from services.wallet.domain import expiry
from services.wallet.domain import hold as holding
from services.wallet.domain.hold import STANDALONE, SUBSCRIPTION, Hold, HoldStatus
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import catch_up, lapse, save
from services.wallet.operations.messages import balance_message, hold_message
from services.wallet.store import books as book_store
from services.wallet.store import holds as hold_store
from tally.wallet.v1 import events_pb2
from tally.wallet.v1.hold_service_pb2 import AuthorizeResponse, CaptureResponse, ReleaseResponse


async def authorize(
    desk: Desk,
    request: Request,
    *,
    wallet_id: UUID,
    amount: Money,
    ttl: timedelta,
    subscription_id: str | None,
) -> AuthorizeResponse:
    """Reserve `amount` of a wallet; a repeated `request` gets its first answer again.

    Raises:
        WalletNotFound, CurrencyMismatch, InsufficientBalance.
    """
    async with desk.begin() as conn:
        earlier = await requests.claim(conn, desk.tenant, request, AuthorizeResponse)
        if earlier is not None:
            return earlier
        book = await book_store.lock_book(conn, desk.tenant, wallet_id)
        now = desk.now()
        await lapse(conn, desk.tenant, [book], now)
        prefix = STANDALONE if subscription_id is None else SUBSCRIPTION
        asked = Hold(
            hold_id=f"{prefix}{uuid4()}",
            wallet_id=wallet_id,
            subscription_id=subscription_id,
            amount=amount,
            captured_minor=0,
            status=HoldStatus.OPEN,
            expires_at=now + ttl,
            created_at=now,
            parts=(),
        )
        hold = holding.place(book, asked)
        await hold_store.insert_hold(conn, desk.tenant, hold)
        await save(conn, desk.tenant, [book])
        answer = AuthorizeResponse(
            hold=hold_message(hold), balance=balance_message(book.balance(now))
        )
        await outbox.append(conn, desk.tenant, events_pb2.HoldPlaced(hold=answer.hold))
        await requests.save_answer(conn, desk.tenant, request, answer)
    return answer


async def capture(
    desk: Desk, request: Request, *, hold_id: str, amount: Money, final: bool
) -> CaptureResponse:
    """Take `amount` of a hold; a repeated `request` gets its first answer again.

    Raises:
        HoldNotFound, CurrencyMismatch, CaptureAboveHold.
        AlreadyCaptured, AlreadyReleased, HoldExpired: the hold is resolved.
    """
    async with desk.begin() as conn:
        earlier = await requests.claim(conn, desk.tenant, request, CaptureResponse)
        if earlier is not None:
            return earlier
        book = await book_store.lock_book_of_hold(conn, desk.tenant, hold_id)
        now = desk.now()
        await lapse(conn, desk.tenant, [book], now)
        hold = await hold_store.load_hold(conn, desk.tenant, hold_id)
        hold, lots = holding.capture(book, hold, amount, now, final=final)
        expiry.lapse_freed(book, now)
        await hold_store.save_holds(conn, desk.tenant, [hold])
        await hold_store.add_lots(conn, desk.tenant, lots)
        await save(conn, desk.tenant, [book])
        answer = CaptureResponse(
            hold=hold_message(hold), balance=balance_message(book.balance(now))
        )
        captured = events_pb2.HoldCaptured(hold=answer.hold, amount=money_message(amount))
        await outbox.append(conn, desk.tenant, captured)
        await requests.save_answer(conn, desk.tenant, request, answer)
    return answer


async def release(desk: Desk, request: Request, hold_id: str) -> ReleaseResponse:
    """Give back what is left of a hold; a repeated `request` gets its first answer again.

    Raises:
        HoldNotFound.
        AlreadyCaptured, AlreadyReleased, HoldExpired: the hold is resolved.
    """
    async with desk.begin() as conn:
        earlier = await requests.claim(conn, desk.tenant, request, ReleaseResponse)
        if earlier is not None:
            return earlier
        book = await book_store.lock_book_of_hold(conn, desk.tenant, hold_id)
        now = desk.now()
        await lapse(conn, desk.tenant, [book], now)
        hold = await hold_store.load_hold(conn, desk.tenant, hold_id)
        hold = holding.release(book, hold, now)
        expiry.lapse_freed(book, now)
        await hold_store.save_holds(conn, desk.tenant, [hold])
        await save(conn, desk.tenant, [book])
        answer = ReleaseResponse(
            hold=hold_message(hold), balance=balance_message(book.balance(now))
        )
        await outbox.append(conn, desk.tenant, events_pb2.HoldReleased(hold=answer.hold))
        await requests.save_answer(conn, desk.tenant, request, answer)
    return answer


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
