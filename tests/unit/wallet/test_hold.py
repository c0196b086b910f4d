"""Holds: reserved from certain grants, resolved once."""

from collections.abc import Callable

import pytest

from libs.errors import Refused
from libs.money import Money
from services.wallet.domain.burn_down import InsufficientBalance
from services.wallet.domain.hold import (
    AlreadyCaptured,
    AlreadyReleased,
    CaptureAboveHold,
    Hold,
    HoldExpired,
    HoldStatus,
    capture,
    expire,
    extend,
    place,
    release,
)
from services.wallet.domain.ledger import Book, Use
from services.wallet.domain.wallet import CurrencyMismatch
from tests.unit.wallet.books import (
    a_book,
    a_grant,
    a_hold,
    an_id,
    day,
    gains,
    standing,
    usd,
)


def test_a_hold_reserves_from_grants_in_burn_order() -> None:
    book = a_book(a_grant(1, 60), a_grant(2, 40))
    hold = place(book, a_hold(70))
    assert hold.parts == (Use(an_id(101), 60), Use(an_id(102), 10))
    assert standing(book) == (30, 70, 0)
    assert gains(book) == {"available": -70, "held": 70}


def test_a_hold_above_what_is_available_is_refused_with_both_numbers() -> None:
    book = a_book(a_grant(1, 60))
    with pytest.raises(InsufficientBalance) as caught:
        place(book, a_hold(61))
    assert caught.value.metadata == {"available_minor": "60", "asked_minor": "61"}
    assert standing(book) == (60, 0, 0)


def test_a_hold_takes_nothing_from_a_grant_that_is_not_in_force_yet() -> None:
    book = a_book(a_grant(1, 60, effective_at=day(9)))
    with pytest.raises(InsufficientBalance) as caught:
        place(book, a_hold(1, at=day(8)))
    assert caught.value.metadata["available_minor"] == "0"
    place(book, a_hold(60, at=day(9)))


def test_money_of_another_currency_is_refused() -> None:
    book, hold = placed(a_hold(40))
    with pytest.raises(CurrencyMismatch):
        capture(book, hold, Money("EUR", 1), day(3), final=True)


def test_a_standalone_capture_is_revenue_and_the_rest_goes_back() -> None:
    book, hold = placed(a_hold(40))
    hold, lots = capture(book, hold, usd(30), day(3), final=True)
    assert (hold.status, hold.captured_minor, lots) == (HoldStatus.CAPTURED, 30, ())
    assert standing(book) == (70, 0, 0)
    assert gains(book) == {"available": -30, "revenue": 30}


def test_a_subscriptions_capture_waits_for_the_invoice_with_its_grants() -> None:
    book, hold = placed(a_hold(40, subscription="s"))
    hold, lots = capture(book, hold, usd(30), day(3), final=True)
    assert standing(book) == (70, 0, 30)
    assert gains(book) == {"available": -30, "captured": 30}
    [lot] = lots
    assert (lot.subscription_id, lot.grant_id, lot.left_minor) == ("s", an_id(101), 30)
    assert lot.captured_at == day(3)


def test_a_hold_can_be_captured_bit_by_bit() -> None:
    book, hold = placed(a_hold(40))
    hold, _ = capture(book, hold, usd(10), day(3), final=False)
    assert (hold.status, hold.left_minor) == (HoldStatus.OPEN, 30)
    hold, _ = capture(book, hold, usd(0), day(3), final=False)
    assert (hold.status, hold.left_minor) == (HoldStatus.OPEN, 30)
    with pytest.raises(CaptureAboveHold) as caught:
        capture(book, hold, usd(31), day(3), final=False)
    assert caught.value.metadata == {"left_minor": "30", "asked_minor": "31"}
    hold, _ = capture(book, hold, usd(5), day(3), final=True)
    assert (hold.status, hold.captured_minor, standing(book)) == ("captured", 15, (85, 0, 0))


def test_a_capture_of_all_that_is_left_resolves_the_hold() -> None:
    book, hold = placed(a_hold(40))
    hold, _ = capture(book, hold, usd(40), day(3), final=False)
    assert hold.status is HoldStatus.CAPTURED


def test_a_final_capture_of_nothing_gives_everything_back() -> None:
    book, hold = placed(a_hold(40))
    hold, _ = capture(book, hold, usd(0), day(3), final=True)
    assert (hold.status, standing(book)) == (HoldStatus.CAPTURED, (100, 0, 0))


def test_a_release_gives_everything_back() -> None:
    book, hold = placed(a_hold(40))
    assert release(book, hold, day(3)).status is HoldStatus.RELEASED
    assert standing(book) == (100, 0, 0)
    assert gains(book) == {}


def resolved_by_capture(book: Book, hold: Hold) -> Hold:
    return capture(book, hold, usd(1), day(3), final=True)[0]


def resolved_by_release(book: Book, hold: Hold) -> Hold:
    return release(book, hold, day(3))


def extended_by_one(book: Book, hold: Hold) -> Hold:
    return extend(book, hold, day(3), more=usd(1), until=None)


def resolved_by_deadline(book: Book, hold: Hold) -> Hold:
    return expire(book, hold)


@pytest.mark.parametrize(
    ("resolve", "refusal"),
    [
        (resolved_by_capture, AlreadyCaptured),
        (resolved_by_release, AlreadyReleased),
        (resolved_by_deadline, HoldExpired),
    ],
)
def test_a_second_resolution_is_refused_with_the_reason_of_the_first(
    resolve: Callable[[Book, Hold], Hold], refusal: type[Refused]
) -> None:
    book, hold = placed(a_hold(40))
    hold = resolve(book, hold)
    for again in (resolved_by_capture, resolved_by_release, extended_by_one):
        with pytest.raises(refusal):
            again(book, hold)


def test_an_extended_hold_reserves_more_and_stands_longer_but_never_shorter() -> None:
    book, hold = placed(a_hold(40, expires_at=day(4)))
    hold = extend(book, hold, day(3), more=usd(60), until=day(6))
    assert (hold.amount, hold.left_minor, hold.expires_at) == (usd(100), 100, day(6))
    assert standing(book) == (0, 100, 0)
    assert extend(book, hold, day(3), more=None, until=day(5)).expires_at == day(6)
    with pytest.raises(InsufficientBalance):
        extend(book, hold, day(3), more=usd(1), until=day(9))
    assert capture(book, hold, usd(100), day(3), final=False)[0].status is HoldStatus.CAPTURED


def placed(hold: Hold) -> tuple[Book, Hold]:
    """Place a hold on a wallet with 100."""
    book = a_book(a_grant(1, 100))
    return book, place(book, hold)
