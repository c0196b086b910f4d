"""What meters read from the properties of events."""

from __future__ import annotations

from decimal import Decimal

from libs.quantity import decimal_text, find_quantity, fits
from services.rating.domain.event import PropertyValue

ZERO = Decimal(0)


def parse_value(value: PropertyValue | None) -> Decimal | None:
    """Return the number that a meter counts, None if the property holds none.

    Texts count when they follow the grammar of decimals: "12.5", ".5" and "1e-7" do, " 5", "5 kg"
    and true do not. Beyond 64 characters, 10^30 or 30 places nothing counts.
    """
    if isinstance(value, str):
        return find_quantity(value)
    if not isinstance(value, Decimal):
        return None
    if not value:
        return ZERO  # Whatever its exponent was.
    return value if fits(value) else None


def text_of(value: PropertyValue | None) -> str:
    """Return a property as the text that dimensions and distinct values compare.

    Numbers are written plainly and canonically (1.50 gives "1.5"), flags as "true" and "false"; a
    missing property is "".
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return decimal_text(value) if isinstance(value, Decimal) else value
