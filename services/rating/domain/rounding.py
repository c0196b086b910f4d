"""A meter's own rounding of the usage of a period."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor

from libs.errors import FieldInvalid

PLACES_MAX = 30
ZERO = Decimal(0)
HALF = Fraction(1, 2)
DIGITS = 300  # Far more than the usage of any period has.


class RoundingMode(StrEnum):
    """How usage is rounded."""

    ROUND = "round"  # To the nearest, a half away from zero: -2.5 gives -3.
    CEIL = "ceil"  # Up: -2.5 gives -2.
    FLOOR = "floor"  # Down: -2.5 gives -3.


@dataclass(frozen=True, slots=True)
class Rounding:
    """Rounds to `places` behind the point; -2 are hundreds."""

    mode: RoundingMode
    places: int = 0


AT_LAST_PLACE = Rounding(RoundingMode.ROUND, PLACES_MAX)
CONTEXTS = {
    RoundingMode.ROUND: Context(prec=DIGITS, rounding=ROUND_HALF_UP, traps=[InvalidOperation]),
    RoundingMode.CEIL: Context(prec=DIGITS, rounding=ROUND_CEILING, traps=[InvalidOperation]),
    RoundingMode.FLOOR: Context(prec=DIGITS, rounding=ROUND_FLOOR, traps=[InvalidOperation]),
}


def round_units(units: Decimal | Fraction, rounding: Rounding | None) -> Decimal:
    """Return `units` rounded; None leaves them as they are, but for a fraction that does not end.

    123.456 to -2 places gives 100, to 2 places 123.46, up to 0 places 124. A third, without a
    rounding, is rounded at the 30th place. It is applied to what was aggregated for a period, for
    each group, after proration; not to single events.
    """
    if isinstance(units, Fraction):
        return _round_fraction(units, rounding or AT_LAST_PLACE)
    if rounding is None:
        return units
    unit = Decimal((0, (1,), -rounding.places))
    # Without the sign of a zero, and with its exponent plain.
    return CONTEXTS[rounding.mode].quantize(units, unit) or ZERO


def _round_fraction(units: Fraction, rounding: Rounding) -> Decimal:
    scaled = units * Fraction(10) ** rounding.places
    match rounding.mode:
        case RoundingMode.ROUND:
            nearest = floor(abs(scaled) + HALF)
            whole = nearest if scaled >= 0 else -nearest
        case RoundingMode.CEIL:
            whole = ceil(scaled)
        case RoundingMode.FLOOR:
            whole = floor(scaled)
    return Decimal(whole).scaleb(-rounding.places, context=CONTEXTS[rounding.mode]) or ZERO


def rounding_faults(rounding: Rounding, path: str) -> list[FieldInvalid]:
    """Return every rule that `rounding` breaks, by field: 30 places at most on either side."""
    if abs(rounding.places) <= PLACES_MAX:
        return []
    problem = f"is {rounding.places}, not from -{PLACES_MAX} to {PLACES_MAX}"
    return [FieldInvalid(f"{path}.places", problem)]
