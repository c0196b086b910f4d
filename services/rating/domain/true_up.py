"""Minimums of charges: what their fees lack of it is a fee of its own."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from libs.money import Money, round_minor, to_decimal


def true_up_minor(
    minimum: Decimal, used_minor: int, *, days: int, of_days: int, currency: str
) -> int:
    """Return what fees of `used_minor` lack of a minimum for `days` of a period of `of_days`.

    minimum x days / of_days - used, computed exactly and rounded once; 0 if nothing lacks. `used`
    is the sum over all buckets and groups. 10.00 for 25 of 28 days and 8.00 used lack 0.93.
    """
    used = Fraction(to_decimal(Money(currency, used_minor)))
    return max(round_minor(Fraction(minimum) * days / of_days - used, currency), 0)
