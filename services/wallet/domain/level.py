"""How far down a wallet is, and when that is news."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

from services.wallet.domain.ledger import Account, Book


class Level(IntEnum):
    """How far down what is available is; each one is below the one before."""

    ENOUGH = 0
    LOW = 1  # Below the wallet's threshold.
    DEPLETED = 2  # Nothing.


def level_of(available_minor: int, low_minor: int) -> Level:
    """Return the level of an amount; without a threshold (0) nothing is low."""
    if available_minor <= 0:
        return Level.DEPLETED
    return Level.LOW if available_minor < low_minor else Level.ENOUGH


def levels_reached(book: Book, now: datetime) -> list[Level]:
    """Return the levels that what was posted to the book has gone down to, in that order.

    Both sides are seen at `now`, so what only time does, as a grant that comes into force, is no
    news. From 60 to 0 with a threshold of 50: low and depleted. Without a threshold: depleted.
    """
    after = book.balance(now).available_minor
    low = book.wallet.low_minor
    before = level_of(after - _gained(book, now), low)
    passed = range(before + 1, level_of(after, low) + 1)
    return [Level(each) for each in passed if each != Level.LOW or low]


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
