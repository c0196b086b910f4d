"""What charges of every model may have: conversion, discounts, a maximum and a minimum.

In this order: units are converted, those free by the usage discount are taken off, the rest is
priced; an amount in a custom unit is turned into currency; the amount is lowered by the percentage
discount, then kept below the maximum of a period and, at its close only, lifted to the minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor
from typing import assert_never

from libs.errors import FieldInvalid
from libs.money import EXACT
from services.rating.domain.price import (
    ZERO,
    Row,
    amount_of,
    factor_of,
    flat_row,
    negative_faults,
    row_of,
)

ONE, HALF, HUNDRED = Decimal(1), Fraction(1, 2), Decimal(100)
PLACES = 30  # As many as a decimal of the contract can have.


class ConversionRounding(StrEnum):
    """How converted units become whole."""

    NONE = "none"
    UP = "up"
    DOWN = "down"
    HALF_UP = "half_up"


@dataclass(frozen=True, slots=True)
class Conversion:
    """Units x multiplier / divisor, then rounded: 1,400 bytes of 1,000 are 2 begun thousands."""

    multiplier: Decimal = ONE
    divisor: Decimal = ONE
    rounding: ConversionRounding = ConversionRounding.NONE


@dataclass(frozen=True, slots=True)
class PricingUnit:
    """A custom unit that prices are in: one of it costs `conversion_rate` currency units."""

    code: str
    conversion_rate: Decimal


@dataclass(frozen=True, slots=True)
class PriceOptions:
    """What a charge adds to its price; amounts in currency units, for a whole period."""

    conversion: Conversion | None = None
    usage_discount: Decimal = ZERO  # Units that are free in each period.
    percentage_discount: Decimal = ZERO
    maximum_amount: Decimal | None = None
    minimum_amount: Decimal | None = None
    pricing_unit: PricingUnit | None = None  # Of the prices only; amounts here are in currency.


@dataclass(frozen=True, slots=True)
class Discounted:
    """Units that are left to be priced: those before a part of a period, and those of it."""

    before: Decimal
    units: Decimal
    free: Decimal  # What was taken off of the part.


def units_to_price(options: PriceOptions, units: Decimal, *, before: Decimal = ZERO) -> Discounted:
    """Return what of `units` is priced: converted, and without those that are free.

    `before` are the units of the period that came earlier: they use up the free ones first. Of 10
    free ones, 5 before take 5, and 15 that follow leave 10.
    """
    if options.conversion is not None:
        units = convert(options.conversion, units)
        before = convert(options.conversion, before)
    used = min(max(before, ZERO), options.usage_discount)
    taken = min(max(units, ZERO), EXACT.subtract(options.usage_discount, used))
    return Discounted(EXACT.subtract(before, used), EXACT.subtract(units, taken), taken)


def convert(conversion: Conversion, units: Decimal) -> Decimal:
    """Return `units` in the unit that is priced; what does not end is rounded to 30 places."""
    exact = Fraction(units) * Fraction(conversion.multiplier) / Fraction(conversion.divisor)
    match conversion.rounding:
        case ConversionRounding.UP:
            return Decimal(ceil(exact))
        case ConversionRounding.DOWN:
            return Decimal(floor(exact))
        case ConversionRounding.HALF_UP:
            return _half_up(exact, 0)
        case ConversionRounding.NONE:
            return _half_up(exact, PLACES)
        case _:
            assert_never(conversion.rounding)


def adjust(
    rows: Sequence[Row], options: PriceOptions, *, billed: Decimal = ZERO, closing: bool
) -> tuple[Row, ...]:
    """Return `rows`, turned into currency, and behind them what the options change of their amount.

    `billed` is what the period has cost before these rows; `closing` tells that none follow. With
    a maximum of 100, rows of 50 after 70 give 50 and -20.
    """
    if options.pricing_unit is not None:
        rows = to_currency(rows, options.pricing_unit)
    limited = options.maximum_amount is not None or (closing and options.minimum_amount is not None)
    if not limited and not options.percentage_discount:
        return tuple(rows)
    amount = amount_of(rows)
    discount = EXACT.multiply(amount, factor_of(options.percentage_discount))
    amount = EXACT.subtract(amount, discount)
    total, over, short = EXACT.add(billed, amount), ZERO, ZERO
    if options.maximum_amount is not None and total > options.maximum_amount:
        over = max(min(EXACT.subtract(total, options.maximum_amount), amount), ZERO)
    if closing and options.minimum_amount is not None and total < options.minimum_amount:
        short = EXACT.subtract(options.minimum_amount, total)
    changes = (
        flat_row("discount", EXACT.minus(discount)),
        flat_row("maximum", EXACT.minus(over)),
        flat_row("minimum", short),
    )
    return (*rows, *(row for row in changes if row.amount))


def to_currency(rows: Sequence[Row], unit: PricingUnit) -> tuple[Row, ...]:
    """Return `rows`, whose amounts are in `unit`, and behind them what they are in currency.

    Rows of 30 and 12 credits at 0.05 give those, and one of 42 at 0.05: 2.10.
    """
    in_unit = tuple(row._replace(pricing_unit=unit.code) for row in rows)
    return (*in_unit, row_of("currency", amount_of(rows), unit.conversion_rate))


def option_faults(options: PriceOptions, path: str) -> list[FieldInvalid]:
    """Return every rule that the options break."""
    faults = []
    for name in ("usage_discount", "percentage_discount", "maximum_amount", "minimum_amount"):
        faults += negative_faults(getattr(options, name), f"{path}.{name}")
    if options.percentage_discount > HUNDRED:
        problem = f"{options.percentage_discount} is above 100"
        faults.append(FieldInvalid(f"{path}.percentage_discount", problem))
    low, high = options.minimum_amount, options.maximum_amount
    if low is not None and high is not None and low > high:
        problem = f"{low} is above maximum_amount, which is {high}"
        faults.append(FieldInvalid(f"{path}.minimum_amount", problem))
    if options.conversion is not None:
        faults += _conversion_faults(options.conversion, f"{path}.conversion")
    unit = options.pricing_unit
    if unit is not None and unit.conversion_rate <= 0:
        problem = f"{unit.conversion_rate} is not above 0"
        faults.append(FieldInvalid(f"{path}.pricing_unit.conversion_rate", problem))
    return faults


def _conversion_faults(conversion: Conversion, path: str) -> list[FieldInvalid]:
    factors = {"multiplier": conversion.multiplier, "divisor": conversion.divisor}
    return [
        FieldInvalid(f"{path}.{name}", f"{factor} is not above 0")
        for name, factor in factors.items()
        if factor <= 0
    ]


def _half_up(exact: Fraction, places: int) -> Decimal:
    whole = floor(abs(exact) * 10**places + HALF)
    rounded = Decimal(whole if exact >= 0 else -whole)
    return EXACT.scaleb(rounded, -places).normalize(EXACT)
