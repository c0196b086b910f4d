"""The arithmetic of expressions: below 10^30, and with 30 places at most, after every step."""

from __future__ import annotations

from decimal import (
    ROUND_05UP,
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    Inexact,
    InvalidOperation,
    Overflow,
)

from services.rating.domain.expression_event import PLACE, Cause, Failed, Readable, Step
from services.rating.domain.value import ZERO

DIGITS_MAX = 29  # To which round, ceil and floor round, before the point and behind it.

# Of 60 digits no sum of numbers below 10^30 with 30 places loses one.
SUMS = Context(prec=60, Emax=29, traps=[Inexact, InvalidOperation, Overflow])
# Any product has room here. A quotient is cut so that rounding it once more, at the last place,
# gives what rounding it only there would have given.
WIDE = Context(prec=130, rounding=ROUND_05UP, traps=[InvalidOperation, Overflow])
# With 60 digits and this exponent, quantize refuses what is not below 10^30.
ROUND = Context(prec=60, Emax=29, rounding=ROUND_HALF_UP, traps=[InvalidOperation])
CEIL = Context(prec=60, Emax=29, rounding=ROUND_CEILING, traps=[InvalidOperation])
FLOOR = Context(prec=60, Emax=29, rounding=ROUND_FLOOR, traps=[InvalidOperation])
SUM_OF = {"+": SUMS.add, "-": SUMS.subtract}
ROUNDING_OF = {"round": ROUND.quantize, "ceil": CEIL.quantize, "floor": FLOOR.quantize}
UNITS = {Decimal(n): Decimal((0, (1,), -n)) for n in range(-DIGITS_MAX, DIGITS_MAX + 1)}


def sum_or_difference(
    sign: str, position: int, left: Step[Decimal], right: Step[Decimal]
) -> Step[Decimal]:
    """Return the step that joins two numbers by "+" or "-"."""
    join = SUM_OF[sign]

    def step(event: Readable) -> Decimal:
        try:
            return join(left(event), right(event))
        except Overflow:
            raise _out_of_range(position) from None

    return step


def product(position: int, left: Step[Decimal], right: Step[Decimal]) -> Step[Decimal]:
    """Return the step that multiplies."""

    def step(event: Readable) -> Decimal:
        try:
            return ROUND.quantize(WIDE.multiply(left(event), right(event)), PLACE)
        except InvalidOperation:
            raise _out_of_range(position) from None

    return step


def quotient(position: int, left: Step[Decimal], right: Step[Decimal]) -> Step[Decimal]:
    """Return the step that divides."""

    def step(event: Readable) -> Decimal:
        dividend, divisor = left(event), right(event)
        if not divisor:
            raise Failed(Cause.DIVISION_BY_ZERO, position, "a number is divided by zero")
        try:
            return ROUND.quantize(WIDE.divide(dividend, divisor), PLACE)
        except InvalidOperation:
            raise _out_of_range(position) from None

    return step


def rounding(mode: str, position: int, number: Step[Decimal], unit: Step[Decimal]) -> Step[Decimal]:
    """Return the step that rounds to multiples of a unit of `UNITS`.

    `mode` is "round" (half away from zero), "ceil" or "floor".
    """
    quantize = ROUNDING_OF[mode]

    def step(event: Readable) -> Decimal:
        try:
            return quantize(number(event), unit(event))
        except InvalidOperation:
            raise _out_of_range(position) from None

    return step


def seconds(event: Readable) -> Decimal:
    """Return the time of `event` in seconds since 1970, with its microseconds behind the point."""
    return Decimal(event.time).scaleb(-6, context=WIDE)


def canonical(value: Decimal) -> Decimal:
    """Return `value` without the zeros at its end, and without the sign of a zero."""
    return value.normalize(WIDE) or ZERO


def _out_of_range(position: int) -> Failed:
    return Failed(Cause.OUT_OF_RANGE, position, "the result is not below 10^30")
