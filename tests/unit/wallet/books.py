"""Wallets, grants and holds for tests, with what does not matter filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from libs.money import Money
from services.wallet.domain import burn_down
from services.wallet.domain.grant import Grant, GrantKind
from services.wallet.domain.hold import Hold, HoldStatus
from services.wallet.domain.ledger import Book
from services.wallet.domain.wallet import Scope, Wallet


def day(number: int, hour: int = 0) -> datetime:
    """Return an instant of January 2026."""
    return datetime(2026, 1, number, hour, tzinfo=UTC)


def an_id(number: int) -> UUID:
    """Return the same UUID for the same number."""
    return UUID(int=number)


def a_wallet(number: int = 1, *, priority: int = 50, scope: Scope | None = None) -> Wallet:
    return Wallet(
        wallet_id=an_id(number),
        customer_id="acme",
        currency="USD",
        name="",
        priority=priority,
        scope=scope or Scope(),
        created_at=day(1),
        number=number,
    )


def a_grant(
    number: int,
    amount_minor: int,
    *,
    wallet: int = 1,
    kind: GrantKind = GrantKind.PURCHASED,
    priority: int = 50,
    effective_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> Grant:
    return Grant(
        grant_id=an_id(100 + number),
        wallet_id=an_id(wallet),
        kind=kind,
        amount_minor=amount_minor,
        priority=priority,
        effective_at=effective_at or day(1),
        expires_at=expires_at,
        reference="",
        created_at=day(1),
        number=number,
    )


def a_book(*grants: Grant, wallet: Wallet | None = None) -> Book:
    """Return a wallet with grants put in, and nothing posted since."""
    book = Book(wallet or a_wallet(), {})
    for grant in grants:
        burn_down.put_in(book, grant, day(1))
    book.postings.clear()
    return book


def a_hold(
    amount_minor: int,
    *,
    name: str = "1",
    subscription: str | None = None,
    at: datetime | None = None,
    expires_at: datetime | None = None,
) -> Hold:
    return Hold(
        hold_id=f"{'std' if subscription is None else 'sub'}_{name}",
        wallet_id=an_id(1),
        subscription_id=subscription,
        amount=Money("USD", amount_minor),
        captured_minor=0,
        status=HoldStatus.OPEN,
        expires_at=expires_at or day(31),
        created_at=at or day(2),
        parts=(),
    )


def usd(amount_minor: int) -> Money:
    return Money("USD", amount_minor)


def standing(book: Book) -> tuple[int, int, int]:
    """Return what the wallet has available, held and captured."""
    grants = book.grants.values()
    return (
        sum(grant.available_minor for grant in grants),
        sum(grant.held_minor for grant in grants),
        sum(grant.captured_minor for grant in grants),
    )


def left(book: Book) -> dict[int, int]:
    """Return what is left of each grant, by its number."""
    return {grant.number: grant.remaining_minor for grant in book.grants.values()}


def gains(book: Book) -> dict[str, int]:
    """Return what was posted to each account since the book was opened."""
    return {account.value: gain for account, gain in book.changes().items() if gain}
