"""Money: whole minor units of a currency, and the one place where an exact amount is rounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from functools import cache

from babel.numbers import get_currency_precision, list_currencies

# Products and sums must never lose a digit in silence: with this many digits a quantity below
# 10^30 with 30 places times such a price is exact, and what is not exact raises.
EXACT = Context(prec=150, Emax=999_999, Emin=-999_999, traps=[Inexact, InvalidOperation, Overflow])
# Quotients have no last digit; they are cut far behind anything that rounding to minor units sees.
DIVIDING = Context(prec=60, rounding=ROUND_HALF_UP, traps=[InvalidOperation, Overflow])


# Where CLDR, which babel follows, has the places that people still use and not those of ISO 4217,
# by which amounts in minor units are counted.
ISO_PLACES = {"IQD": 3} | dict.fromkeys(
    "AFN ALL IRR KPW LAK LBP MGA MMK RSD SLL SOS SYP YER".split(), 2
)


@dataclass(frozen=True, slots=True)
class Money:
    """`amount_minor` whole minor units of `currency` (ISO 4217): Money("EUR", 1050) is 10.50."""

    currency: str
    amount_minor: int


@cache
def is_currency(code: str) -> bool:
    """Tell whether `code` is an ISO 4217 code."""
    return code in list_currencies()


@cache
def exponent(currency: str) -> int:
    """Return how many decimal places the currency has in ISO 4217: EUR 2, JPY 0, KWD 3."""
    return ISO_PLACES.get(currency, int(get_currency_precision(currency)))


def round_minor(exact: Decimal | Fraction, currency: str) -> int:
    """Round `exact` currency units to minor units, half away from zero.

    Decimal("2.345") EUR gives 235, Decimal("-2.345") gives -235.
    """
    numerator, denominator = exact.as_integer_ratio()
    whole, rest = divmod(abs(numerator) * 10 ** exponent(currency), denominator)
    rounded: int = whole + (1 if 2 * rest >= denominator else 0)
    return rounded if numerator >= 0 else -rounded


def exact_sum(numbers: Iterable[Decimal]) -> Decimal:
    """Return the sum of `numbers`, exactly."""
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def to_decimal(money: Money) -> Decimal:
    """Return the amount in currency units, with the currency's places: Decimal("10.50")."""
    return Decimal(money.amount_minor).scaleb(-exponent(money.currency), context=EXACT)


def share(total: int, weights: Sequence[Decimal | int | Fraction]) -> list[int]:
    """Split `total` in proportion to `weights`, so that the parts sum to it exactly.

    Largest remainder: each part is cut, and what is left goes by one to the parts that lost most,
    ties by order. share(100, [1, 1, 1]) gives [34, 33, 33]. Weights of nothing share nothing, so
    a `total` then goes to the first part. All weights have one sign.
    """
    fractions = [Fraction(weight) for weight in weights]
    whole = sum(fractions)
    if whole == 0:
        return [total if place == 0 else 0 for place in range(len(fractions))]
    exact = [total * fraction / whole for fraction in fractions]
    sign = -1 if total < 0 else 1
    parts = [sign * int(abs(part)) for part in exact]
    lost = sorted(range(len(parts)), key=lambda place: (-abs(exact[place] - parts[place]), place))
    for place in lost[: abs(total - sum(parts))]:
        parts[place] += sign
    return parts
