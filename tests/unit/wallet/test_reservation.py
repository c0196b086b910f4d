"""Which wallets are to pay usage that is not invoiced yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from services.wallet.domain import hold as holding
from services.wallet.domain.burn_down import InsufficientBalance
from services.wallet.domain.reservation import Purse, Reserved, UnbilledLine, reserve
from services.wallet.domain.wallet import Scope
from tests.unit.wallet.books import a_book, a_grant, a_hold, a_wallet, an_id, day

NOW: datetime = day(2)


def a_purse(
    number: int,
    spendable: int,
    *,
    early: int = 0,
    priority: int = 50,
    meters: tuple[str, ...] = (),
    tops_up: bool = False,
) -> Purse:
    scope = Scope(meter_codes=frozenset(meters))
    return Purse(a_wallet(number, priority=priority, scope=scope), early, spendable, tops_up)


def usage(*grosses: int, meter: str = "calls") -> list[UnbilledLine]:
    return [UnbilledLine("usage", meter, gross) for gross in grosses]


@pytest.mark.parametrize(
    ("purses", "unbilled", "reserved"),
    [
        ([a_purse(1, 100), a_purse(2, 20)], 150, [100, 50]),  # The last one takes the rest.
        ([a_purse(1, 100), a_purse(2, 20, priority=1)], 30, [10, 20]),  # Priority before age.
        ([a_purse(1, 100, tops_up=True), a_purse(2, 20)], 150, [150, 0]),  # Or one that fills.
        ([a_purse(1, 0), a_purse(2, 100, early=30)], 50, [0, 50]),  # Paid early: no need of more.
        ([a_purse(1, 50), a_purse(2, 10, early=30)], 50, [20, 30]),
        ([a_purse(1, -5), a_purse(2, 10)], 8, [0, 8]),  # Below zero: it has nothing.
        ([a_purse(1, 100, meters=("words",)), a_purse(2, 1)], 8, [0, 8]),  # Out of scope.
        ([a_purse(1, 100, meters=("words",))], 8, [0]),  # Nobody may pay it.
        ([a_purse(1, 100)], 0, [0]),
    ],
)
def test_usage_is_reserved_as_an_invoice_would_take_it(
    purses: list[Purse], unbilled: int, reserved: list[int]
) -> None:
    found = reserve(purses, usage(unbilled) if unbilled else [])
    assert [found.get(an_id(place + 1), 0) for place in range(len(purses))] == reserved


def test_what_was_paid_early_is_not_reserved_once_more() -> None:
    reserved = Reserved()
    reserved.unbilled.update({"s": 50, "t": 20})
    reserved.early.update({"s": 30, "u": 70})
    assert reserved.amount_minor == 20 + 20
    reserved.early["s"] = 90
    assert reserved.amount_minor == 20
    assert reserved.early_left("s") == 40


def test_unbilled_usage_takes_the_place_of_holds_though_it_may_go_below_zero() -> None:
    book = a_book(a_grant(1, 100))
    book.reserved.unbilled["s"] = 70
    with pytest.raises(InsufficientBalance) as refused:
        holding.place(book, a_hold(31))
    assert refused.value.metadata == {"available_minor": "30", "asked_minor": "31"}
    assert holding.place(book, a_hold(30)).left_minor == 30
    book.reserved.unbilled["s"] = 170
    assert book.balance(NOW).spendable_minor == -100
    assert book.balance(NOW).available_minor == 70


def test_a_soft_limit_lets_holds_be_placed_below_zero_on_money_that_is_there() -> None:
    book = a_book(a_grant(1, 100), wallet=replace(a_wallet(), soft_minor=50))
    book.reserved.unbilled["s"] = 110
    with pytest.raises(InsufficientBalance) as refused:
        holding.place(book, a_hold(41))
    assert refused.value.metadata["available_minor"] == "40"
    holding.place(book, a_hold(40))
    assert book.balance(NOW).spendable_minor == -50
    book.reserved.unbilled["s"] = 0
    with pytest.raises(InsufficientBalance):
        holding.place(book, a_hold(61))  # There are no more than 60.
