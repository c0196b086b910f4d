"""What a case expects against what came out; numbers are equal by value, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

HALF = Fraction(1, 2)
ROUNDED = "_rounded"  # Such a key holds {value, places} of the key without the ending.


def differences(expected: Mapping[str, Any], got: Mapping[str, Any], path: str = "") -> list[str]:
    """Return each difference as `path: expected X, got Y`; an expected key must come out."""
    found: list[str] = []
    for key, value in expected.items():
        at = f"{path}.{key}" if path else key
        if key in got:
            found += _compared(value, got[key], at)
        elif key.endswith(ROUNDED) and key.removesuffix(ROUNDED) in got:
            number = got[key.removesuffix(ROUNDED)]
            found += _compared(value["value"], rounded(number, value["places"]), at)
        else:
            found.append(f"{at}: expected {value}, which no adapter knows")
    return found


def rounded(number: Decimal | Fraction | int, places: int) -> Fraction:
    """Round `number` to `places`, half up."""
    return Fraction(floor(Fraction(number) * 10**places + HALF), 10**places)


def _compared(expected: Any, got: Any, path: str) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        yield from differences(expected, got, path)
    elif isinstance(expected, list) and isinstance(got, Sequence) and not isinstance(got, str):
        if len(expected) != len(got):
            yield f"{path}: expected {len(expected)}, got {len(got)}: {shown(got)}"
        for place, (one, other) in enumerate(zip(expected, got, strict=False)):
            yield from _compared(one, other, f"{path}[{place}]")
    elif not _equal(expected, got):
        yield f"{path}: expected {expected}, got {shown(got)}"


def _equal(expected: Any, got: Any) -> bool:
    numbers = (Decimal, Fraction, int)
    if isinstance(got, numbers) and isinstance(expected, str | int):
        if isinstance(got, bool) or isinstance(expected, bool):
            return expected is got
        return Fraction(expected) == Fraction(got)
    return type(expected) is type(got) and bool(expected == got)


def shown(value: Any) -> str:
    """Write what came out on one line, fractions as decimals where they end."""
    match value:
        case Fraction():
            return str(Decimal(value.numerator) / Decimal(value.denominator))
        case Mapping():
            return "{" + ", ".join(f"{key}: {shown(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(shown(one) for one in value) + "]"
        case _:
            return str(value)
