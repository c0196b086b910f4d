"""Discounts of an amount of money, one after the other, and shared out to the lines it is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import assert_never

from libs.money import share

HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class PercentOff:
    """A share of what the discounts before it have left, 0 to 100."""

    percent: Decimal


@dataclass(frozen=True, slots=True)
class AmountOff:
    """An amount, or what is left if that is less."""

    amount_minor: int


Discount = PercentOff | AmountOff


def discount_minor(subtotal_minor: int, discounts: Sequence[Discount]) -> int:
    """Return what `discounts` take off of `subtotal_minor`, in their order, rounded once.

    Half a minor unit is taken off. 10 % and then 25 % of 100 leave 67.50, and so take 32.50. They
    never take more than there is, and nothing off of an amount below zero.
    """
    subtotal = Fraction(max(subtotal_minor, 0))
    left = subtotal
    for discount in discounts:
        match discount:
            case PercentOff():
                left -= left * Fraction(discount.percent) / 100
            case AmountOff():
                left -= min(left, Fraction(discount.amount_minor))
            case _:
                assert_never(discount)
    return floor(subtotal - left + HALF)


def spread_minor(discount: int, lines_minor: Sequence[int]) -> list[int]:
    """Return how much of `discount` falls on each line: in proportion to those above zero.

    Cut to whole units, and what is missing by one to the largest remainders; a line never bears
    more than it costs.
    """
    costs = [max(line, 0) for line in lines_minor]
    return share(min(discount, sum(costs)), costs)
