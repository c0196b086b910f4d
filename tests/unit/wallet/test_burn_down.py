"""Which grants pay first, and when a grant is in force."""

from datetime import UTC, datetime

import pytest

from libs.errors import FieldInvalid
from libs.period import Period
from services.wallet.domain import burn_down
from services.wallet.domain.burn_down import POSTED_MINOR_MAX, draw
from services.wallet.domain.grant import GrantKind, GrantOrder
from services.wallet.domain.ledger import Use
from tests.unit.wallet.books import a_book, a_grant, a_wallet, an_id, day, gains, standing, usd


def test_grants_burn_by_priority_then_expiry_then_kind_then_age() -> None:
    book = a_book(
        a_grant(1, 10),
        a_grant(2, 10),
        a_grant(3, 10, kind=GrantKind.GRANTED),
        a_grant(4, 10, expires_at=day(20)),
        a_grant(5, 10, expires_at=day(10)),
        a_grant(6, 10, priority=1),
    )
    assert [grant.number for grant in book.in_burn_order()] == [6, 5, 4, 3, 1, 2]


def test_an_amount_is_drawn_from_as_many_grants_as_it_needs() -> None:
    book = a_book(a_grant(1, 20), a_grant(2, 25))
    assert draw(book.in_burn_order(), 30) == (Use(an_id(101), 20), Use(an_id(102), 10))
    assert draw(book.in_burn_order(), 20) == (Use(an_id(101), 20),)
    assert draw(book.in_burn_order(), 0) == ()


def test_more_than_there_is_draws_all_there_is() -> None:
    book = a_book(a_grant(1, 20), a_grant(2, 25))
    assert sum(use.amount_minor for use in draw(book.in_burn_order(), 100)) == 45


def test_a_grant_is_in_force_from_its_start_to_just_before_its_expiry() -> None:
    grant = a_grant(1, 10, effective_at=day(5), expires_at=day(10))
    force = {number: grant.in_force(day(number)) for number in (4, 5, 9, 10, 11)}
    assert force == {4: False, 5: True, 9: True, 10: False, 11: False}


@pytest.mark.parametrize(
    ("start", "end", "in_force"),
    [
        (1, 5, False),  # Ends when the grant begins.
        (1, 6, True),
        (9, 20, True),
        (10, 20, False),  # Begins when the grant lapses.
        (1, 31, True),
        (5, 5, True),  # One instant.
        (4, 4, False),
        (10, 10, False),
    ],
)
def test_a_grant_may_pay_for_a_period_that_it_touches(start: int, end: int, in_force: bool) -> None:
    grant = a_grant(1, 10, effective_at=day(5), expires_at=day(10))
    assert grant.in_force_during(Period(day(start), day(end))) is in_force


@pytest.mark.parametrize(
    ("kind", "account"), [(GrantKind.PURCHASED, "purchased"), (GrantKind.GRANTED, "granted")]
)
def test_a_grant_comes_from_the_account_of_its_kind(kind: GrantKind, account: str) -> None:
    book = a_book()
    burn_down.put_in(book, a_grant(1, 70, kind=kind), day(1))
    assert standing(book) == (70, 0, 0)
    assert gains(book) == {"available": 70, account: -70}


def test_a_wallet_refuses_more_than_it_can_count() -> None:
    book = a_book(a_grant(1, POSTED_MINOR_MAX))
    with pytest.raises(FieldInvalid):
        burn_down.put_in(book, a_grant(2, 1), day(1))


@pytest.mark.parametrize("expires", [1, 2, 5])
def test_a_grant_that_lapses_before_it_serves_is_refused(expires: int) -> None:
    order = GrantOrder(an_id(1), GrantKind.GRANTED, usd(5), 50, day(5), day(expires), "")
    with pytest.raises(FieldInvalid) as caught:
        order.opened(an_id(7), a_wallet(), day(2))
    assert caught.value.field == "grant.expires_at"


def test_a_grant_without_a_start_is_in_force_at_once() -> None:
    order = GrantOrder(an_id(1), GrantKind.GRANTED, usd(5), 50, None, None, "")
    assert order.opened(an_id(7), a_wallet(), day(2)).effective_at == datetime(
        2026, 1, 2, tzinfo=UTC
    )


def test_what_is_not_in_force_yet_is_not_in_the_balance() -> None:
    book = a_book(a_grant(1, 10), a_grant(2, 5, effective_at=day(9)))
    assert book.balance(day(8)).posted_minor == 10
    assert book.balance(day(9)).posted_minor == 15
