"""Exact decimals as the log keeps them: a whole mantissa and a power of ten."""

from __future__ import annotations

import re
from typing import NamedTuple

GRAMMAR = re.compile(r"([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?", re.ASCII)
CHARACTERS_MAX = 64
WHOLE_DIGITS_MAX = 30  # The value is below 10^30.
PLACES_MAX = 30
INT64_MAX, INT8_MAX = 2**63 - 1, 127


class Number(NamedTuple):
    """mantissa * 10^exponent, with the digits that were sent: "1.50" is Number(150, -2)."""

    mantissa: int
    exponent: int

    def canonical(self) -> str:
        """Return the one plain text of this value: no exponent, no superfluous zeros, no "-0".

        Number(150, -2) gives "1.5", Number(3, 2) gives "300".
        """
        if self.mantissa == 0:
            return "0"
        digits = str(abs(self.mantissa))
        if self.exponent >= 0:
            plain = digits + "0" * self.exponent
        else:
            digits = digits.rjust(1 - self.exponent, "0")
            plain = f"{digits[: self.exponent]}.{digits[self.exponent :]}".rstrip("0").rstrip(".")
        return f"-{plain}" if self.mantissa < 0 else plain

    def fitting(self) -> Number | None:
        """Return this value in 64 bits of mantissa and 8 of exponent, if it has such a form.

        The digits that were sent are kept where they fit; else superfluous zeros are dropped.
        """
        if _fits(self):
            return self
        mantissa, exponent = self.mantissa, self.exponent
        while mantissa and mantissa % 10 == 0:
            mantissa, exponent = mantissa // 10, exponent + 1
        reduced = Number(mantissa, exponent)
        return reduced if _fits(reduced) else None


def parse_number(text: str) -> Number | None:
    """Read a decimal by the grammar in tally/common/v1/money.proto; None if it breaks it."""
    if len(text) > CHARACTERS_MAX:
        return None
    match = GRAMMAR.fullmatch(text)
    if match is None:
        return None
    sign, whole, places, only_places, power = match.groups()
    digits = (whole or "") + (places or only_places or "")
    mantissa = int(sign + digits)
    if mantissa == 0:
        return Number(0, 0)
    exponent = int(power or 0) - len(places or only_places or "")
    significant = digits.strip("0")
    last_exponent = exponent + len(digits) - len(digits.rstrip("0"))
    if last_exponent < -PLACES_MAX or last_exponent + len(significant) > WHOLE_DIGITS_MAX:
        return None
    return Number(mantissa, exponent)


def _fits(number: Number) -> bool:
    return abs(number.mantissa) <= INT64_MAX and -INT8_MAX <= number.exponent <= INT8_MAX
