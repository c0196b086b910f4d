"""A meter's own rounding of the usage of a period."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from enum import StrEnum

from libs.errors import FieldInvalid

PLACES_MAX = 30
ZERO = Decimal(0)
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


CONTEXTS = {
    RoundingMode.ROUND: Context(prec=DIGITS, rounding=ROUND_HALF_UP, traps=[InvalidOperation]),
    RoundingMode.CEIL: Context(prec=DIGITS, rounding=ROUND_CEILING, traps=[InvalidOperation]),
    RoundingMode.FLOOR: Context(prec=DIGITS, rounding=ROUND_FLOOR, traps=[InvalidOperation]),
}


def round_units(units: Decimal, rounding: Rounding | None) -> Decimal:
    """Return `units` rounded; None leaves them as they are.

    123.456 to -2 places gives 100, to 2 places 123.46, up to 0 places 124. It is applied to what
    was aggregated for a period, for each group, after proration; not to single events.
    """
    if rounding is None:
        return units
    unit = Decimal((0, (1,), -rounding.places))
    # Without the sign of a zero, and with its exponent plain.
    return CONTEXTS[rounding.mode].quantize(units, unit) or ZERO


def rounding_faults(rounding: Rounding, path: str) -> list[FieldInvalid]:
    """Return every rule that `rounding` breaks, by field: 30 places at most on either side."""
    if abs(rounding.places) <= PLACES_MAX:
        return []
    problem = f"is {rounding.places}, not from -{PLACES_MAX} to {PLACES_MAX}"
    return [FieldInvalid(f"{path}.places", problem)]
