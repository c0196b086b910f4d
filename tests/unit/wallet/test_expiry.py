"""What lapses by itself, at which instant, and what holds pin."""

from services.wallet.domain.expiry import expire_due, lapse_freed
from services.wallet.domain.hold import HoldStatus, capture, place, release
from services.wallet.domain.ledger import Book
from tests.unit.wallet.books import a_book, a_grant, a_hold, day, left, standing, usd


def test_a_grant_lapses_at_its_instant_however_late_it_is_posted() -> None:
    book = a_book(a_grant(1, 60, expires_at=day(10)), a_grant(2, 40))
    expire_due(book, [], day(9, 23))
    assert posted(book) == []
    expire_due(book, [], day(20))
    assert posted(book) == [("GRANT_EXPIRY", day(10), 60)]
    assert left(book) == {1: 0, 2: 40}


def test_a_grant_lapses_at_the_very_instant_of_its_expiry() -> None:
    book = a_book(a_grant(1, 60, expires_at=day(10)))
    expire_due(book, [], day(10))
    assert posted(book) == [("GRANT_EXPIRY", day(10), 60)]


def test_a_hold_pins_its_part_of_a_lapsing_grant() -> None:
    book = a_book(a_grant(1, 60, expires_at=day(10)))
    hold = place(book, a_hold(25))
    book.postings.clear()
    expire_due(book, [], day(15))
    assert posted(book) == [("GRANT_EXPIRY", day(10), 35)]
    assert standing(book) == (0, 25, 0)
    release(book, hold, day(16))
    lapse_freed(book, day(16))
    assert posted(book)[1:] == [("RELEASE", day(16), 25), ("GRANT_EXPIRY", day(16), 25)]
    assert standing(book) == (0, 0, 0)


def test_captured_money_outlives_its_grant() -> None:
    book = a_book(a_grant(1, 60, expires_at=day(10)))
    capture(book, place(book, a_hold(25, subscription="s")), usd(25), day(3), final=True)
    expire_due(book, [], day(15))
    assert standing(book) == (0, 0, 25)


def test_holds_and_grants_lapse_in_the_order_of_their_instants() -> None:
    book = a_book(
        a_grant(1, 10, expires_at=day(10)),
        a_grant(2, 20, expires_at=day(12)),
        a_grant(3, 40, expires_at=day(14)),
    )
    hold = place(book, a_hold(15, expires_at=day(13)))  # 10 of the first, 5 of the second.
    book.postings.clear()
    [expired] = expire_due(book, [hold], day(20))
    assert expired.status is HoldStatus.EXPIRED
    assert posted(book) == [
        ("GRANT_EXPIRY", day(12), 15),
        ("HOLD_EXPIRY", day(13), 15),
        ("GRANT_EXPIRY", day(13), 10),
        ("GRANT_EXPIRY", day(13), 5),
        ("GRANT_EXPIRY", day(14), 40),
    ]


def test_at_one_instant_a_hold_goes_before_its_grant() -> None:
    book = a_book(a_grant(1, 10, expires_at=day(10)))
    hold = place(book, a_hold(4, expires_at=day(10)))
    book.postings.clear()
    expire_due(book, [hold], day(10))
    assert posted(book) == [("HOLD_EXPIRY", day(10), 4), ("GRANT_EXPIRY", day(10), 10)]


def posted(book: Book) -> list[tuple[str, object, int]]:
    return [
        (str(posting.reason), posting.at, sum(move.amount_minor for move in posting.movements))
        for posting in book.postings
    ]
