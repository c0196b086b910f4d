"""How far down a wallet is, and when that is news."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

from services.wallet.domain.ledger import Account, Book


class Level(IntEnum):
    """How far down what can be spent is; each one is below the one before."""

    ENOUGH = 0
    LOW = 1  # Below the wallet's threshold.
    DEPLETED = 2  # Nothing.


def level_of(spendable_minor: int, low_minor: int) -> Level:
    """Return the level of an amount; without a threshold (0) nothing is low."""
    if spendable_minor <= 0:
        return Level.DEPLETED
    return Level.LOW if spendable_minor < low_minor else Level.ENOUGH


def levels_between(before_minor: int, after_minor: int, low_minor: int) -> list[Level]:
    """Return the levels that an amount has gone down to, in that order.

    From 60 to 0 with a threshold of 50: low and depleted. Without a threshold: depleted.
    """
    passed = range(level_of(before_minor, low_minor) + 1, level_of(after_minor, low_minor) + 1)
    return [Level(each) for each in passed if each != Level.LOW or low_minor]


def spendable_before(book: Book, now: datetime) -> int:
    """Return what could be spent when the book was opened.

    It is seen at `now`: what only time does, as a grant that comes into force, is no news.
    """
    available = book.balance(now).available_minor - _gained(book, now)
    return available - book.reserved_before_minor


def _gained(book: Book, now: datetime) -> int:
    gained = 0
    for posting in book.postings:
        for movement in posting.movements:
            sign = (movement.target is Account.AVAILABLE) - (movement.source is Account.AVAILABLE)
            if sign:
                gained += sign * sum(
                    use.amount_minor
                    for use in movement.uses
                    if book.grants[use.grant_id].effective_at <= now
                )
    return gained
