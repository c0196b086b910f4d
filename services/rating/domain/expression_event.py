"""What an expression reads of an event, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from typing import NamedTuple, TypeVar

from libs.quantity import MAGNITUDE_MAX, find_quantity
from services.rating.domain.event import PropertyValue
from services.rating.domain.expression_tree import PropertyRead
from services.rating.domain.value import text_of

PLACE = Decimal("1e-30")  # The last one that counts.
WITHIN = Context(prec=60, traps=[Inexact, InvalidOperation])
FLAGS = {"true": True, "false": False}


class Cause(StrEnum):
    """Why an expression has no value for an event."""

    PROPERTY_MISSING = "PROPERTY_MISSING"
    NOT_A_NUMBER = "NOT_A_NUMBER"
    NOT_A_CONDITION = "NOT_A_CONDITION"
    DIVISION_BY_ZERO = "DIVISION_BY_ZERO"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    DIGITS_INVALID = "DIGITS_INVALID"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"


@dataclass(frozen=True, slots=True)
class Failure:
    """The expression has no value for this event; `position` counts characters from 1."""

    cause: Cause
    position: int
    problem: str

    def __str__(self) -> str:
        return f"{self.cause} at character {self.position}: {self.problem}"


class Failed(Exception):
    """Ends an evaluation; never leaves `evaluate`."""

    def __init__(self, cause: Cause, position: int, problem: str) -> None:
        super().__init__(problem)
        self.failure = Failure(cause, position, problem)


class Readable(NamedTuple):
    """What an expression may read of an event; `time` is in microseconds since 1970."""

    type: str
    time: int
    properties: Mapping[str, PropertyValue]


T = TypeVar("T")
Step = Callable[[Readable], T]


def read_number(node: PropertyRead) -> Step[Decimal]:
    """Return the step that reads a property as a number."""

    def step(event: Readable) -> Decimal:
        value = event.properties.get(node.name)
        number = _find_number(value)
        if number is None:
            raise _failed(node, value, Cause.NOT_A_NUMBER, "no number below 10^30, 30 places")
        return number

    return step


def read_text(node: PropertyRead) -> Step[str]:
    """Return the step that reads a property as a text."""

    def step(event: Readable) -> str:
        value = event.properties.get(node.name)
        if value is None:
            raise _missing(node)
        return text_of(value)

    return step


def read_value(node: PropertyRead) -> Step[Decimal | str]:
    """Return the step that reads a property as a number if it holds one, else as a text."""

    def step(event: Readable) -> Decimal | str:
        value = event.properties.get(node.name)
        number = _find_number(value)
        if number is not None:
            return number
        if value is None:
            raise _missing(node)
        return text_of(value)

    return step


def read_flag(node: PropertyRead) -> Step[bool]:
    """Return the step that reads a property as a condition: a flag, or "true" or "false"."""

    def step(event: Readable) -> bool:
        value = event.properties.get(node.name)
        flag = FLAGS.get(text_of(value))
        if flag is None:
            raise _failed(node, value, Cause.NOT_A_CONDITION, "neither true nor false")
        return flag

    return step


def _find_number(value: PropertyValue | None) -> Decimal | None:
    """Return what `parse_value` returns, sooner for what is usual."""
    if isinstance(value, str):
        return Decimal(value) if _is_short(value) else find_quantity(value)
    if not isinstance(value, Decimal):
        return None
    try:
        return WITHIN.quantize(value, PLACE)
    except (Inexact, InvalidOperation):
        return None


def _is_short(text: str) -> bool:
    """Tell whether `text` is surely a number within bounds, as nearly all that are sent are."""
    digits = text.removeprefix("-").replace(".", "", 1)
    return len(text) <= MAGNITUDE_MAX and digits.isascii() and digits.isdecimal()


def _missing(node: PropertyRead) -> Failed:
    problem = f"the event has no property {node.name[:64]}"
    return Failed(Cause.PROPERTY_MISSING, node.position, problem)


def _failed(node: PropertyRead, value: PropertyValue | None, cause: Cause, problem: str) -> Failed:
    if value is None:
        return _missing(node)
    found = text_of(value)[:50]
    return Failed(cause, node.position, f"property {node.name[:64]} is {found!r}: {problem}")
