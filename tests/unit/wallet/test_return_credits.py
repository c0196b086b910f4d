"""What an invoice took comes back to the grants it came from."""

from __future__ import annotations

from libs.period import Period
from services.wallet.domain.apply_credits import CreditLine, Invoice, apply_credits
from services.wallet.domain.ledger import Reason
from services.wallet.domain.return_credits import return_credits
from tests.unit.wallet.books import a_book, a_grant, a_wallet, an_id, day, left


def test_each_grant_gets_back_what_it_gave() -> None:
    book = a_book(a_grant(1, 20), a_grant(2, 50))
    paid = apply_credits([book], [], _invoice(30), day(2)).credits
    assert left(book) == {1: 0, 2: 40}
    return_credits(book, paid, "i", day(3))
    assert left(book) == {1: 20, 2: 50}


def test_what_comes_back_to_a_lapsed_grant_lapses_again_at_once() -> None:
    book = a_book(a_grant(1, 20, expires_at=day(5)), a_grant(2, 50))
    paid = apply_credits([book], [], _invoice(30), day(2)).credits
    return_credits(book, paid, "i", day(6))
    assert left(book) == {1: 0, 2: 50}
    [_, back, lapsed] = book.postings
    assert (back.reason, lapsed.reason, lapsed.at) == (
        Reason.REVERSAL,
        Reason.GRANT_EXPIRY,
        day(6),
    )


def test_each_wallet_gets_back_only_its_own() -> None:
    first = a_book(a_grant(1, 20), wallet=a_wallet(1, priority=1))
    second = a_book(a_grant(2, 50, wallet=2), wallet=a_wallet(2))
    paid = apply_credits([first, second], [], _invoice(30), day(2)).credits
    return_credits(second, paid, "i", day(3))
    assert (left(first), left(second)) == ({1: 0}, {2: 50})


def _invoice(amount_minor: int) -> Invoice:
    line = CreditLine(an_id(7), "usage", "calls", amount_minor, Period(day(1), day(2)), "s")
    return Invoice(an_id(8), "acme", "USD", [line], [])
