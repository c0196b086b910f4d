"""Money is rounded once, half away from zero, and splits without losing a unit."""

from decimal import Decimal

import pytest

from libs.money import EXACT, Money, exponent, is_currency, round_minor, share, to_decimal


@pytest.mark.parametrize(
    ("exact", "currency", "minor"),
    [
        ("2.345", "EUR", 235),
        ("2.3449999999999999999999999999999999999999", "EUR", 234),
        ("-2.345", "EUR", -235),
        ("0.005", "USD", 1),
        ("-0.004", "USD", 0),
        ("1050.5", "JPY", 1051),
        ("1.2345", "KWD", 1235),
        ("1e25", "USD", 10**27),
    ],
)
def test_an_amount_is_rounded_half_away_from_zero(exact: str, currency: str, minor: int) -> None:
    assert round_minor(Decimal(exact), currency) == minor


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (10, [0, 5, 0], [0, 10, 0]),
        (7, [0, 0], [7, 0]),
        (0, [3, 4], [0, 0]),
        (5, [Decimal("0.5"), Decimal("0.25"), Decimal("0.25")], [3, 1, 1]),
    ],
)
def test_shares_go_to_the_largest_remainders(
    total: int, weights: list[int | Decimal], parts: list[int]
) -> None:
    assert share(total, weights) == parts


def test_currencies_have_their_own_places() -> None:
    assert [exponent(code) for code in ("EUR", "JPY", "KWD")] == [2, 0, 3]
    assert [exponent(code) for code in ("IQD", "RSD", "UGX", "CLF")] == [3, 2, 0, 4]
    assert to_decimal(Money("EUR", 1050)) == Decimal("10.50")
    assert str(to_decimal(Money("KWD", -5))) == "-0.005"
    assert is_currency("AUD") and not is_currency("ZZZ")


def test_the_exact_context_refuses_to_lose_a_digit() -> None:
    price = Decimal("9" * 30 + "." + "9" * 30)
    assert EXACT.multiply(price, price) == Decimal(int("9" * 60) ** 2).scaleb(-60, EXACT)
    with pytest.raises(ArithmeticError):
        EXACT.divide(Decimal(1), Decimal(3))
