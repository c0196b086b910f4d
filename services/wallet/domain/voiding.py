"""Taking credit away: part of a wallet, or all that is left when it is ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from libs.errors import NotFound, Refused
from services.wallet.domain.burn_down import draw_all
from services.wallet.domain.ledger import Account, Book, Movement, Reason, Use


class GrantNotFound(NotFound):
    """The wallet has no such grant with anything left."""

    reason = "GRANT_NOT_FOUND"


class WalletNotEmpty(Refused):
    """The wallet has something left that ending it would lose."""

    reason = "WALLET_NOT_EMPTY"


def void(
    book: Book, amount_minor: int, now: datetime, *, reference: str, grant_id: UUID | None
) -> tuple[Use, ...]:
    """Take `amount_minor` of what is available away, in burn order; return the grants' parts.

    A `grant_id` names the only grant to take from, in force or not yet.

    Raises:
        GrantNotFound: the wallet has no such grant with anything left.
        InsufficientBalance: less is available.
    """
    grants = book.in_force(now)
    if grant_id is not None:
        if grant_id not in book.grants:
            raise GrantNotFound(f"wallet {book.wallet.wallet_id} has nothing of grant {grant_id}")
        grants = [book.grants[grant_id]]
    uses = draw_all(book, grants, amount_minor)
    _post(book, uses, reference, now)
    return uses


def terminate(book: Book, now: datetime, *, voids: bool) -> tuple[Use, ...]:
    """End the wallet for good; with `voids`, take away what is available, not in force yet too.

    Money that is held or captured is owed to somebody: resolve its holds, bill its subscriptions.

    Raises:
        WalletNotEmpty: something is held or captured or, without `voids`, available.
    """
    grants = book.in_burn_order()
    available = sum(grant.available_minor for grant in grants)
    balance = book.balance(now)
    if balance.held_minor or balance.captured_minor or (available and not voids):
        left = {
            "available_minor": str(available),
            "held_minor": str(balance.held_minor),
            "captured_minor": str(balance.captured_minor),
        }
        told = ", ".join(f"{name} {value}" for name, value in left.items())
        raise WalletNotEmpty(f"wallet {book.wallet.wallet_id} has {told}", metadata=left)
    uses = void_rest(book, now)
    book.wallet = replace(book.wallet, terminated_at=now)
    return uses


def void_rest(book: Book, now: datetime) -> tuple[Use, ...]:
    """Take away all that is available in a wallet that is ended, or about to be."""
    left = [grant for grant in book.in_burn_order() if grant.available_minor]
    uses = tuple(Use(grant.grant_id, grant.available_minor) for grant in left)
    _post(book, uses, str(book.wallet.wallet_id), now)
    return uses


def _post(book: Book, uses: tuple[Use, ...], reference: str, now: datetime) -> None:
    book.post(Reason.VOID, reference, now, Movement(Account.AVAILABLE, Account.VOIDED, uses))
