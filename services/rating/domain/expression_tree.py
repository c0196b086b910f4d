"""Expressions as trees, and why a text is none."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from libs.errors import InvalidInput


class Refusal(StrEnum):
    """Why a text is no expression."""

    TOO_LONG = "TOO_LONG"
    TOO_DEEP = "TOO_DEEP"
    TOO_MANY_NODES = "TOO_MANY_NODES"
    CHARACTER_UNKNOWN = "CHARACTER_UNKNOWN"
    TEXT_UNCLOSED = "TEXT_UNCLOSED"
    NUMBER_OUT_OF_RANGE = "NUMBER_OUT_OF_RANGE"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    SYNTAX = "SYNTAX"
    ARGUMENT_COUNT = "ARGUMENT_COUNT"
    KIND = "KIND"  # A text where a number is needed, and the like.


class ExpressionInvalid(InvalidInput):
    """The text is no expression: `position` counts characters from 1."""

    reason = "FIELD_INVALID"

    def __init__(self, refusal: Refusal, position: int, expected: str, found: str) -> None:
        super().__init__(f"{refusal} at character {position}: expected {expected}, found {found}")
        self.refusal = refusal
        self.position = position
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class Number:
    """A number written out."""

    position: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Text:
    """A text written out."""

    position: int
    value: str


@dataclass(frozen=True, slots=True)
class TypeRead:
    """The type of the event."""

    position: int


@dataclass(frozen=True, slots=True)
class TimeRead:
    """The time of the event."""

    position: int


@dataclass(frozen=True, slots=True)
class PropertyRead:
    """The property `name` of the event."""

    position: int
    name: str


@dataclass(frozen=True, slots=True)
class Negation:
    """The operand with the other sign."""

    position: int
    operand: Node


@dataclass(frozen=True, slots=True)
class Operation:
    """Two numbers joined by + - * or /."""

    position: int
    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values compared by = != < <= > or >=."""

    position: int
    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function of its arguments; `function` is the first of its names, in lower case."""

    position: int
    function: str
    arguments: tuple[Node, ...]


Node = Number | Text | TypeRead | TimeRead | PropertyRead | Negation | Operation | Comparison | Call
