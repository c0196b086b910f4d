"""Quantities and prices: decimals as the contracts allow them, see money.proto for the grammar."""

from __future__ import annotations

import re
from decimal import Decimal

GRAMMAR = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
CHARACTERS_MAX = 64
MAGNITUDE_MAX = 30  # Digits before the point, and places behind it.


def find_quantity(text: str) -> Decimal | None:
    """Return the decimal that `text` is, with its digits as they are; None if it is none.

    "1.50" gives Decimal("1.50"). None, too, beyond 64 characters, 10^30 or 30 places; a zero is a
    zero, whatever its exponent.
    """
    if len(text) > CHARACTERS_MAX or not GRAMMAR.fullmatch(text):
        return None
    mantissa, _, exponent = text.lower().partition("e")
    if not mantissa.strip("+-.0"):
        return Decimal(0)
    if len(exponent) > 4:  # Beyond what a Decimal, and we, can hold.
        return None
    value = Decimal(text)
    return value if fits(value) else None


def fits(value: Decimal) -> bool:
    """Tell whether `value`, not 0, is below 10^30 with at most 30 places."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    places = -exponent
    if places > MAGNITUDE_MAX:  # Perhaps only zeros too many.
        places -= len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return value.adjusted() < MAGNITUDE_MAX and places <= MAGNITUDE_MAX


def decimal_text(value: Decimal) -> str:
    """Write a decimal plainly and canonically: no exponent, no superfluous zeros, no "-0"."""
    if not value:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
