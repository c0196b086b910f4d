"""Coupons: what a customer's coupons take off of an invoice, before tax."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import floor
from typing import assert_never
from uuid import UUID

from services.invoicing.domain.discounts import HALF, AmountOff, Discount, PercentOff
from services.invoicing.domain.line import Line


class CouponOrder(StrEnum):
    """Which coupons come first; of equal ones the older."""

    SCOPE_THEN_AGE = "scope_then_age"  # Limited to meters, limited to plans, then the others.
    PERCENTAGES_FIRST = "percentages_first"  # Then the same.


@dataclass(frozen=True, slots=True)
class CouponScope:
    """The lines that a coupon may be taken off of: of these meters, or these plans; none: all."""

    meter_codes: tuple[str, ...] = ()
    plan_codes: tuple[str, ...] = ()

    def holds(self, line: Line) -> bool:
        """Tell whether the coupon may be taken off of a line."""
        if self.meter_codes:
            return line.fee.meter_code in self.meter_codes
        return not self.plan_codes or line.plan_code in self.plan_codes

    @property
    def rank(self) -> int:
        """Narrower scopes come first."""
        if self.meter_codes:
            return 0
        return 1 if self.plan_codes else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCoupon:
    """A coupon of a customer that has something left: an amount is what is left of it.

    `currency` is that of an amount, and empty for a percentage, which fits all.
    """

    applied_coupon_id: UUID
    code: str
    name: str
    discount: Discount
    currency: str = ""
    scope: CouponScope = CouponScope()


@dataclass(frozen=True, slots=True)
class CouponUse:
    """How much of a coupon was taken off of an invoice, above zero."""

    coupon: OpenCoupon
    amount_minor: int


def in_order(coupons: Iterable[OpenCoupon], order: CouponOrder) -> list[OpenCoupon]:
    """Return `coupons`, given oldest first, in the order in which they are used."""
    return sorted(coupons, key=lambda one: _rank(one, order))


def use_coupons(
    lines: Sequence[Line], currency: str, coupons: Iterable[OpenCoupon]
) -> list[CouponUse]:
    """Return what `coupons` take off of `lines`, one after the other.

    Each acts on what those before it left of the lines in its scope, whose sum, as that of all
    lines, does not fall below zero; it is rounded once. Of 100, a coupon of 10 and then one of
    20 % take 10 and 18. A coupon that takes nothing is left out.
    """
    left = [Fraction(line.charged_minor) for line in lines]
    used: list[CouponUse] = []
    for coupon in coupons:
        if coupon.currency not in ("", currency):
            continue
        places = _places(coupon.scope, lines)
        base = min(
            sum((left[place] for place in places), Fraction(0)),
            sum(left, Fraction(0)),
        )
        amount = min(_wanted_minor(coupon.discount, base), floor(base))
        if amount > 0:
            _take(left, places, amount)
            used.append(CouponUse(coupon, amount))
    return used


def exact_shares(lines: Sequence[Line], used: Iterable[CouponUse]) -> list[Fraction]:
    """Return how much of all coupons `used` falls on each line, exactly.

    Each is spread over the lines in its scope in proportion to what those before it left of them;
    lines below zero bear nothing, and no line more than it costs.
    """
    left = [Fraction(line.charged_minor) for line in lines]
    for use in used:
        _take(left, _places(use.coupon.scope, lines), use.amount_minor)
    return [line.charged_minor - part for line, part in zip(lines, left, strict=True)]


def _rank(coupon: OpenCoupon, order: CouponOrder) -> tuple[bool, int]:
    fixed = isinstance(coupon.discount, AmountOff)
    return order is CouponOrder.PERCENTAGES_FIRST and fixed, coupon.scope.rank


def _places(scope: CouponScope, lines: Sequence[Line]) -> list[int]:
    return [place for place, line in enumerate(lines) if scope.holds(line)]


def _wanted_minor(discount: Discount, base: Fraction) -> int:
    match discount:
        case PercentOff():
            return floor(base * Fraction(discount.percent) / 100 + HALF)
        case AmountOff():
            return discount.amount_minor
        case _:
            assert_never(discount)


def _take(left: list[Fraction], places: Sequence[int], amount_minor: int) -> None:
    """Take `amount_minor` off of the places that have something left, in proportion to it."""
    bearing = [place for place in places if left[place] > 0]
    whole = sum(left[place] for place in bearing)
    for place in bearing:
        left[place] -= left[place] * amount_minor / whole
