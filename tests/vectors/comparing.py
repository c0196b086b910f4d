"""What a case expects against what came out; numbers are equal by value, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

HALF = Fraction(1, 2)
# Such a key holds {value or values, places} of the key without the ending, rounded half up or,
# if it holds {rounding: "ceil"}, up.
ROUNDED = "_rounded"


def differences(expected: Mapping[str, Any], got: Mapping[str, Any], path: str = "") -> list[str]:
    """Return each difference as `path: expected X, got Y`; an expected key must come out."""
    found: list[str] = []
    for key, value in expected.items():
        at = f"{path}.{key}" if path else key
        if key in got:
            found += _compared(value, got[key], at)
        elif key.endswith(ROUNDED) and key.removesuffix(ROUNDED) in got:
            found += _rounded_alike(value, got[key.removesuffix(ROUNDED)], at)
        else:
            found.append(f"{at}: expected {value}, which no adapter knows")
    return found


def rounded(number: Decimal | Fraction | int, places: int, *, up: bool = False) -> Fraction:
    """Round `number` to `places`, half up or always up."""
    scaled = Fraction(number) * 10**places
    return Fraction(ceil(scaled) if up else floor(scaled + HALF), 10**places)


def _rounded_alike(expected: Mapping[str, Any], got: Any, path: str) -> Iterator[str]:
    places, how = expected["places"], expected.get("rounding", "half_up")
    strange = expected.keys() - {"value", "values", "places", "rounding"}
    if strange or how not in {"half_up", "ceil"}:
        yield f"{path}: {dict(expected)} is unknown"
        return
    up = how == "ceil"
    if "values" in expected:
        numbers = [rounded(number, places, up=up) for number in got]
        yield from _compared(expected["values"], numbers, path)
    else:
        yield from _compared(expected["value"], rounded(got, places, up=up), path)


def _compared(expected: Any, got: Any, path: str) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        yield from differences(expected, got, path)
    elif isinstance(expected, list) and isinstance(got, Sequence) and not isinstance(got, str):
        if _have_keys(expected) and _have_keys(got):
            expected, got = (sorted(each, key=_key_text) for each in (expected, got))
        if len(expected) != len(got):
            yield f"{path}: expected {len(expected)}, got {len(got)}: {shown(got)}"
        for place, (one, other) in enumerate(zip(expected, got, strict=False)):
            yield from _compared(one, other, f"{path}[{place}]")
    elif not _equal(expected, got):
        yield f"{path}: expected {expected}, got {shown(got)}"


def _have_keys(values: Sequence[Any]) -> bool:
    """Tell whether values are told apart by a key of theirs: their order says nothing."""
    return all(isinstance(one, Mapping) and isinstance(one.get("key"), Mapping) for one in values)


def _key_text(value: Mapping[str, Any]) -> str:
    return repr(sorted(value["key"].items()))


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
