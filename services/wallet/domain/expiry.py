"""What lapses by itself: holds at their deadline, and of grants what nothing pins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.wallet.domain import hold as holding
from services.wallet.domain.grant import NEVER
from services.wallet.domain.hold import Hold
from services.wallet.domain.ledger import Account, Book, Movement, Reason, Use


def expire_due(book: Book, due: Sequence[Hold], now: datetime) -> list[Hold]:
    """Post all that lapsed up to `now`, each at its own instant and in that order.

    `due` are the open holds whose deadline has passed; they come back expired. At one and the
    same instant a hold goes first, so that what it gives back of a lapsing grant lapses too.
    """
    expired: list[Hold] = []
    for hold in sorted(due, key=lambda hold: (hold.expires_at, hold.hold_id)):
        assert hold.expires_at <= now
        lapse_grants(book, before=hold.expires_at)
        expired.append(holding.expire(book, hold))
        lapse_freed(book, hold.expires_at)
    lapse_grants(book, before=now)
    lapse_freed(book, now)
    return expired


def lapse_grants(book: Book, *, before: datetime) -> None:
    """Post what is available of grants that lapse before an instant, each at its own."""
    grants = sorted(
        book.grants.values(), key=lambda grant: (grant.expires_at or NEVER, grant.number)
    )
    for grant in grants:
        if grant.available_minor and grant.expires_at and grant.expires_at < before:
            _lapse(book, Use(grant.grant_id, grant.available_minor), grant.expires_at)


def lapse_freed(book: Book, at: datetime) -> None:
    """Post at `at` what is available of grants that have lapsed by then.

    Call it after giving back money at `at`: of a lapsed grant it is not to be spent again.
    """
    for grant in book.in_burn_order():
        if grant.available_minor and grant.lapsed(at):
            _lapse(book, Use(grant.grant_id, grant.available_minor), at)


def _lapse(book: Book, use: Use, at: datetime) -> None:
    movement = Movement(Account.AVAILABLE, Account.EXPIRED, (use,))
    book.post(Reason.GRANT_EXPIRY, str(use.grant_id), at, movement)


def lapsed_uses(book: Book) -> list[Use]:
    """Return what lapsed of grants in what was posted to the book."""
    return [
        use
        for posting in book.postings
        if posting.reason is Reason.GRANT_EXPIRY
        for movement in posting.movements
        for use in movement.uses
    ]
