"""What meters read from the properties of events."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from services.rating.domain.event import PropertyValue

GRAMMAR = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
CHARACTERS_MAX = 64
MAGNITUDE_MAX = 30  # Digits before the point, and places behind it.
ZERO = Decimal(0)


def parse_value(value: PropertyValue | None) -> Decimal | None:
    """Return the number that a meter counts, None if the property holds none.

    Texts count when they follow the grammar of decimals: "12.5", ".5" and "1e-7" do, " 5", "5 kg"
    and true do not. Beyond 64 characters, 10^30 or 30 places nothing counts.
    """
    if isinstance(value, str):
        if len(value) > CHARACTERS_MAX or not GRAMMAR.fullmatch(value):
            return None
        try:
            value = Decimal(value)
        except InvalidOperation:  # An exponent beyond all bounds.
            return None
    if not isinstance(value, Decimal):
        return None
    if not value:
        return ZERO  # Whatever its exponent was.
    return value if fits(value) else None


def fits(value: Decimal) -> bool:
    """Tell whether `value`, not 0, is below 10^30 with at most 30 places."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    places = -exponent
    if places > MAGNITUDE_MAX:  # Perhaps only zeros too many.
        places -= len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return value.adjusted() < MAGNITUDE_MAX and places <= MAGNITUDE_MAX


def text_of(value: PropertyValue | None) -> str:
    """Return a property as the text that dimensions and distinct values compare.

    Numbers are written plainly and canonically (1.50 gives "1.5"), flags as "true" and "false"; a
    missing property is "".
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return plain(value) if isinstance(value, Decimal) else value


def plain(value: Decimal) -> str:
    """Write a decimal without exponent, superfluous zeros or a negative zero."""
    if not value:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
