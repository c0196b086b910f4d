"""Moving credit between two wallets of a customer: it stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from libs.errors import FieldInvalid
from services.wallet.domain.burn_down import check_room, draw_all
from services.wallet.domain.grant import Grant, earlier
from services.wallet.domain.ledger import Account, Book, Movement, Reason, Use


def transfer(
    source: Book,
    target: Book,
    amount_minor: int,
    now: datetime,
    *,
    reference: str,
    new_id: Callable[[], UUID],
) -> list[Grant]:
    """Move `amount_minor` of what is available, in burn order; return the grants it is now.

    Each grant that gives something becomes a grant of the target, of that amount, with the same
    kind, priority, start and expiry; it lapses no later than the target does. Both books post, by
    way of an account of the tenant.

    Raises:
        FieldInvalid: the wallets are one, or differ in customer or currency, or the target would
            hold more than it can count.
        InsufficientBalance: less is available.
    """
    check_pair(source, target, now)
    check_room(target, amount_minor, "amount.amount_minor")
    uses = draw_all(source, source.in_force(now), amount_minor)
    away = Movement(Account.AVAILABLE, Account.TRANSFERRED, uses)
    arriving = [_as_grant_of(target, source.grants[use.grant_id], use, new_id()) for use in uses]
    source.post(Reason.TRANSFER, reference, now, away)
    for grant in arriving:
        target.grants[grant.grant_id] = replace(grant, created_at=now)
    parts = tuple(Use(grant.grant_id, grant.amount_minor) for grant in arriving)
    target.post(
        Reason.TRANSFER, reference, now, Movement(Account.TRANSFERRED, Account.AVAILABLE, parts)
    )
    return [target.grants[grant.grant_id] for grant in arriving]


def check_pair(source: Book, target: Book, now: datetime) -> None:
    """Refuse a transfer that would change whose money it is, or what money.

    Raises:
        FieldInvalid: the wallets are one, or differ in customer or currency; the target lapsed.
    """
    one, other = source.wallet, target.wallet
    field = "target_wallet_id"
    if one.wallet_id == other.wallet_id:
        raise FieldInvalid(field, "is the source")
    if one.customer_id != other.customer_id:
        raise FieldInvalid(field, "is a wallet of another customer")
    if one.currency != other.currency:
        raise FieldInvalid(field, f"is in {other.currency}, the source in {one.currency}")
    if other.expires_at is not None and other.expires_at <= now:
        raise FieldInvalid(field, f"lapsed at {other.expires_at.isoformat()}")


def _as_grant_of(target: Book, grant: Grant, use: Use, grant_id: UUID) -> Grant:
    return replace(
        grant,
        grant_id=grant_id,
        wallet_id=target.wallet.wallet_id,
        amount_minor=use.amount_minor,
        expires_at=earlier(grant.expires_at, target.wallet.expires_at),
        available_minor=0,
        held_minor=0,
        captured_minor=0,
        number=0,
    )
