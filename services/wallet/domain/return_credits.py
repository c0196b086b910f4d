"""Giving back what an invoice took: it was voided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.wallet.domain.apply_credits import AppliedCredit
from services.wallet.domain.expiry import lapse_freed
from services.wallet.domain.ledger import Account, Book, Movement, Reason, Use
from services.wallet.domain.voiding import void_rest


def return_credits(
    book: Book, credits: Sequence[AppliedCredit], reference: str, now: datetime
) -> None:
    """Give each of `credits` of this wallet back to its grant; the book has all their grants.

    A grant keeps its kind and its expiry: what comes back to one that has lapsed lapses again at
    `now`, by an entry of its own, and what comes back to a wallet that was ended is void. What had
    been captured early is available again, as is what captures leave over when a period is
    settled.
    """
    uses = tuple(
        Use(credit.grant_id, credit.amount_minor, credit.line_id)
        for credit in credits
        if credit.wallet_id == book.wallet.wallet_id
    )
    book.post(Reason.REVERSAL, reference, now, Movement(Account.REVENUE, Account.AVAILABLE, uses))
    lapse_freed(book, now)
    if book.wallet.terminated_at is not None:
        void_rest(book, now)
