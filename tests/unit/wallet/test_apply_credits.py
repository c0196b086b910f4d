"""Which credits pay which lines of an invoice."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from libs.period import Period
from services.wallet.domain.apply_credits import (
    Application,
    AppliedCredit,
    CreditLine,
    Invoice,
    SettledPeriod,
    apply_credits,
)
from services.wallet.domain.expiry import expire_due
from services.wallet.domain.grant import GrantKind
from services.wallet.domain.hold import Lot, capture, place
from services.wallet.domain.ledger import Book
from services.wallet.domain.wallet import Scope
from tests.unit.wallet.books import (
    a_book,
    a_grant,
    a_hold,
    a_wallet,
    an_id,
    day,
    gains,
    left,
    standing,
    usd,
)

MONTH = Period(day(1), day(31))
CLOSE = day(31, 1)


def test_a_line_is_paid_as_far_as_the_wallet_reaches() -> None:
    book = a_book(a_grant(1, 70))
    assert paid(apply([book], [line(1, 100)])) == [(1, 1, 70)]
    assert gains(book) == {"available": -70, "revenue": 70}


def test_never_more_than_the_line() -> None:
    book = a_book(a_grant(1, 70))
    assert paid(apply([book], [line(1, 30)])) == [(1, 1, 30)]
    assert standing(book) == (40, 0, 0)


def test_the_largest_pool_is_paid_first() -> None:
    lines = [line(1, 30, meter="a"), line(2, 60, meter="b"), line(3, 50, meter="b")]
    assert paid(apply([a_book(a_grant(1, 110))], lines)) == [(2, 1, 60), (3, 1, 50)]
    assert paid(apply([a_book(a_grant(1, 120))], lines)) == [(2, 1, 60), (3, 1, 50), (1, 1, 10)]


def test_pools_of_one_size_are_paid_in_the_order_of_kind_and_meter() -> None:
    lines = [line(1, 30, meter="b"), line(2, 30, meter="a"), line(3, 30, meter="", kind="base")]
    assert paid(apply([a_book(a_grant(1, 40))], lines)) == [(3, 1, 30), (2, 1, 10)]


def test_a_negative_line_lowers_its_pool() -> None:
    lines = [line(1, 100), line(2, -30)]
    assert paid(apply([a_book(a_grant(1, 500))], lines)) == [(1, 1, 70)]


def test_a_negative_pool_lowers_what_the_invoice_may_take() -> None:
    lines = [line(1, 100, meter="a"), line(2, 50, meter="b"), line(3, -60, meter="c")]
    assert paid(apply([a_book(a_grant(1, 500))], lines)) == [(1, 1, 90)]


def test_an_invoice_that_owes_nothing_takes_nothing() -> None:
    assert paid(apply([a_book(a_grant(1, 500))], [line(1, 10), line(2, -60)])) == []
    assert paid(apply([a_book(a_grant(1, 500))], [])) == []


def test_grants_burn_in_their_order() -> None:
    book = a_book(
        a_grant(1, 10), a_grant(2, 10, kind=GrantKind.GRANTED), a_grant(3, 10, priority=1)
    )
    assert paid(apply([book], [line(1, 25)])) == [(1, 3, 10), (1, 2, 10), (1, 1, 5)]


def test_wallets_pay_by_priority_then_age() -> None:
    books = [
        a_book(a_grant(1, 10, wallet=1), wallet=a_wallet(1)),
        a_book(a_grant(2, 10, wallet=2), wallet=a_wallet(2)),
        a_book(a_grant(3, 10, wallet=3), wallet=a_wallet(3, priority=1)),
    ]
    assert paid(apply(books, [line(1, 25)])) == [(1, 3, 10), (1, 1, 10), (1, 2, 5)]


@pytest.mark.parametrize(
    ("scope", "pays"),
    [
        (Scope(), [1, 2, 3]),
        (Scope(fee_kinds=frozenset({"usage"})), [1, 2]),
        (Scope(meter_codes=frozenset({"a"})), [1]),
        (Scope(frozenset({"base"}), frozenset({"a"})), []),
    ],
)
def test_a_wallet_pays_within_its_scope(scope: Scope, pays: list[int]) -> None:
    lines = [line(1, 30, meter="a"), line(2, 20, meter="b"), line(3, 10, kind="base", meter="")]
    book = a_book(a_grant(1, 500), wallet=a_wallet(scope=scope))
    assert [number for number, _, _ in paid(apply([book], lines))] == pays


@pytest.mark.parametrize(
    ("start", "end", "pays"), [(1, 10, False), (1, 11, True), (19, 31, True), (20, 31, False)]
)
def test_a_grant_pays_for_periods_in_which_it_was_in_force(
    start: int, end: int, pays: bool
) -> None:
    book = a_book(a_grant(1, 50, effective_at=day(10), expires_at=day(20)))
    one = line(1, 50, period=Period(day(start), day(end)))
    assert bool(apply([book], [one], now=day(15)).credits) is pays


def test_a_grant_does_not_pay_before_it_is_in_force() -> None:
    book = a_book(a_grant(1, 50, effective_at=day(10)))
    assert apply([book], [line(1, 50)], now=day(9)).credits == ()


def test_what_a_hold_reserves_is_not_drawn() -> None:
    book = a_book(a_grant(1, 50))
    place(book, a_hold(20))
    assert paid(apply([book], [line(1, 50)])) == [(1, 1, 30)]
    assert standing(book) == (0, 20, 0)


def test_captured_money_of_the_subscription_goes_first_and_the_rest_returns() -> None:
    book = a_book(a_grant(1, 100))
    lots = captured(book, 40, at=day(5))
    application = apply([book], [line(1, 30, subscription="s")], lots, settles=True)
    assert paid(application) == [(1, 1, 30)]
    assert application.credits[0].captured
    assert standing(book) == (70, 0, 0)
    assert [lot.left_minor for lot in application.lots] == [0]


def test_captured_money_that_falls_short_is_filled_up_from_what_is_available() -> None:
    book = a_book(a_grant(1, 100))
    lots = captured(book, 40, at=day(5))
    application = apply([book], [line(1, 60, subscription="s")], lots, settles=True)
    assert [(c.amount_minor, c.captured) for c in application.credits] == [(40, True), (20, False)]
    assert standing(book) == (40, 0, 0)


def test_captured_money_is_for_its_own_subscription_only() -> None:
    book = a_book(a_grant(1, 40))
    lots = captured(book, 40, at=day(5))
    application = apply([book], [line(1, 60, subscription="other")], lots, settles=True)
    assert (application.credits, standing(book)) == ((), (0, 0, 40))


def test_captured_money_stays_until_a_period_is_settled() -> None:
    book = a_book(a_grant(1, 100))
    lots = captured(book, 40, at=day(5))
    application = apply([book], [line(1, 30, subscription="s")], lots, settles=False)
    assert standing(book) == (60, 0, 10)
    assert [lot.left_minor for lot in application.lots] == [10]


def test_a_settled_period_returns_what_was_captured_though_it_has_no_line() -> None:
    book = a_book(a_grant(1, 100))
    lots = captured(book, 40, at=day(5))
    settled = [SettledPeriod("s", MONTH)]
    invoice = Invoice(an_id(9), "acme", "USD", [line(1, 30, subscription="other")], settled)
    application = apply_credits([book], lots, invoice, CLOSE)
    assert [(c.amount_minor, c.captured) for c in application.credits] == [(30, False)]
    assert standing(book) == (70, 0, 0)


def test_what_was_captured_after_the_period_is_for_the_next_one() -> None:
    book = a_book(a_grant(1, 100))
    lots = captured(book, 40, at=day(20))
    january = line(1, 30, subscription="s", period=Period(day(1), day(20)))
    application = apply([book], [january], lots, settles=True, now=day(21))
    assert [(c.amount_minor, c.captured) for c in application.credits] == [(30, False)]
    assert (standing(book), application.lots) == ((30, 0, 40), ())


def test_captured_money_does_not_pay_in_advance() -> None:
    book = a_book(a_grant(1, 40))
    lots = captured(book, 40, at=day(5))
    advance = line(1, 99, kind="base", meter="", subscription="s", period=Period(day(5), day(31)))
    application = apply([book], [advance], lots, settles=True, now=day(6))
    assert (application.credits, standing(book)) == ((), (0, 0, 40))


def test_captured_money_of_a_lapsed_grant_pays_and_what_returns_of_it_lapses() -> None:
    book = a_book(a_grant(1, 40, expires_at=day(10)), a_grant(2, 100))
    lots = captured(book, 40, at=day(5))
    expire_due(book, [], CLOSE)
    application = apply([book], [line(1, 30, subscription="s")], lots, settles=True)
    assert paid(application) == [(1, 1, 30)]
    assert left(book) == {1: 0, 2: 100}
    assert [str(posting.reason) for posting in book.postings][-3:] == [
        "APPLY",
        "RETURN",
        "GRANT_EXPIRY",
    ]


def test_a_wallets_scope_binds_its_captured_money_too() -> None:
    scope = Scope(meter_codes=frozenset({"a"}))
    book = a_book(a_grant(1, 40), wallet=a_wallet(scope=scope))
    lots = captured(book, 40, at=day(5))
    application = apply([book], [line(1, 30, meter="b", subscription="s")], lots, settles=True)
    assert (application.credits, standing(book)) == ((), (40, 0, 0))


def test_every_use_names_the_line_that_it_paid() -> None:
    book = a_book(a_grant(1, 100))
    apply([book], [line(1, 30, meter="a"), line(2, 20, meter="b")])
    [posting] = book.postings
    uses = [(use.line_id, use.amount_minor) for move in posting.movements for use in move.uses]
    assert uses == [(an_id(1001), 30), (an_id(1002), 20)]


def line(
    number: int,
    amount_minor: int,
    *,
    kind: str = "usage",
    meter: str = "a",
    period: Period = MONTH,
    subscription: str = "",
) -> CreditLine:
    return CreditLine(an_id(1000 + number), kind, meter, amount_minor, period, subscription)


def captured(book: Book, amount_minor: int, *, at: datetime) -> Sequence[Lot]:
    """Capture for the subscription "s"."""
    hold = place(book, a_hold(amount_minor, subscription="s"))
    return capture(book, hold, usd(amount_minor), at, final=True)[1]


def apply(
    books: Sequence[Book],
    lines: Sequence[CreditLine],
    lots: Sequence[Lot] = (),
    *,
    settles: bool = False,
    now: datetime = CLOSE,
) -> Application:
    for book in books:
        book.postings.clear()
    settled = [SettledPeriod(one.subscription_id, one.period) for one in lines if settles]
    return apply_credits(books, lots, Invoice(an_id(9), "acme", "USD", lines, settled), now)


def paid(application: Application) -> list[tuple[int, int, int]]:
    """Return (line, grant, amount) of what was paid, by numbers."""

    def numbers(credit: AppliedCredit) -> tuple[int, int, int]:
        return (credit.line_id.int - 1000, credit.grant_id.int - 100, credit.amount_minor)

    return [numbers(credit) for credit in application.credits]
