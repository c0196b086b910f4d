"""From the tree of an expression to the steps that evaluate it.

A step is a function of an event. Which one a node becomes depends on what is needed where it
stands: a number, a text, a condition, or either of the first two.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from libs.quantity import decimal_text
from services.rating.domain.expression_arithmetic import (
    DIGITS_MAX,
    UNITS,
    product,
    quotient,
    rounding,
    seconds,
    sum_or_difference,
)
from services.rating.domain.expression_event import (
    Cause,
    Failed,
    Readable,
    Step,
    read_flag,
    read_number,
    read_text,
    read_value,
)
from services.rating.domain.expression_tree import (
    Call,
    Comparison,
    ExpressionInvalid,
    Negation,
    Node,
    Number,
    Operation,
    PropertyRead,
    Refusal,
    Text,
    TimeRead,
    TypeRead,
)
from services.rating.domain.value import ZERO

TEXT_BYTES_MAX = 1_024  # As of a property.

DIGITS = f"a whole number from -{DIGITS_MAX} to {DIGITS_MAX}"
CHOICE_OF = {"least": min, "greatest": max}
ORDERINGS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

T = TypeVar("T")


def value_step(node: Node) -> Step[Decimal | str]:
    """Return the step that gives a number or a text.

    Raises:
        ExpressionInvalid: something stands where its kind never fits.
    """
    match node:
        case PropertyRead():
            return read_value(node)
        case Call(function="if"):
            return _choice(node, value_step)
        case Text() | TypeRead() | Call(function="concat"):
            return _text(node)
        case Comparison():
            raise _misplaced(node, "a number or a text", "a comparison")
        case _:
            return _number(node)


def properties_of(node: Node) -> set[str]:
    """Return the names of the properties that `node` may read."""
    match node:
        case PropertyRead():
            return {node.name}
        case Negation():
            return properties_of(node.operand)
        case Operation() | Comparison():
            return properties_of(node.left) | properties_of(node.right)
        case Call():
            return set().union(*map(properties_of, node.arguments))
        case _:
            return set()


def _number(node: Node) -> Step[Decimal]:
    match node:
        case Number():
            return _constant(node.value)
        case TimeRead():
            return seconds
        case PropertyRead():
            return read_number(node)
        case Negation():
            operand = _number(node.operand)
            return lambda event: operand(event).copy_negate()
        case Operation():
            return _operation(node)
        case Call(function="if"):
            return _choice(node, _number)
        case Call(function="least" | "greatest"):
            return _extreme(node)
        case Call(function="round" | "ceil" | "floor"):
            return _rounding(node)
        case Comparison():
            raise _misplaced(node, "a number", "a comparison")
        case _:
            raise _misplaced(node, "a number", "a text")


def _text(node: Node) -> Step[str]:
    match node:
        case Text():
            return _constant(node.value)
        case TypeRead():
            return lambda event: event.type
        case PropertyRead():
            return read_text(node)
        case Call(function="if"):
            return _choice(node, _text)
        case Call(function="concat"):
            return _concat(node)
        case Comparison():
            raise _misplaced(node, "a text or a number", "a comparison")
        case _:
            number = _number(node)
            return lambda event: decimal_text(number(event))


def _condition(node: Node) -> Step[bool]:
    match node:
        case PropertyRead():
            return read_flag(node)
        case Call(function="if"):
            return _choice(node, _condition)
        case Comparison():
            return _comparison(node)
        case _:
            raise _misplaced(node, "a condition", "a number or a text")


def _constant(value: T) -> Step[T]:
    return lambda event: value


def _choice(node: Call, branch: Callable[[Node], Step[T]]) -> Step[T]:
    asked, taken, otherwise = node.arguments
    condition, yes, no = _condition(asked), branch(taken), branch(otherwise)
    return lambda event: yes(event) if condition(event) else no(event)


def _operation(node: Operation) -> Step[Decimal]:
    left, right = _number(node.left), _number(node.right)
    match node.sign:
        case "*":
            return product(node.position, left, right)
        case "/":
            return quotient(node.position, left, right)
        case _:
            return sum_or_difference(node.sign, node.position, left, right)


def _rounding(node: Call) -> Step[Decimal]:
    number, unit = _number(node.arguments[0]), _unit(node)
    return rounding(node.function, node.position, number, unit)


def _unit(node: Call) -> Step[Decimal]:
    """Return the step that gives the unit to which a call rounds: 0.01 of two digits."""
    if len(node.arguments) == 1:
        return _constant(UNITS[ZERO])
    argument = node.arguments[1]
    if isinstance(argument, Number) and argument.value not in UNITS:
        raise _misplaced(argument, DIGITS, decimal_text(argument.value))
    digits = _number(argument)

    def step(event: Readable) -> Decimal:
        number = digits(event)
        unit = UNITS.get(number)
        if unit is None:
            problem = f"digits are {decimal_text(number)}, not {DIGITS}"
            raise Failed(Cause.DIGITS_INVALID, argument.position, problem)
        return unit

    return step


def _extreme(node: Call) -> Step[Decimal]:
    steps, choose = [_number(argument) for argument in node.arguments], CHOICE_OF[node.function]
    return lambda event: choose([step(event) for step in steps])


def _concat(node: Call) -> Step[str]:
    steps = [_text(argument) for argument in node.arguments]

    def concat(event: Readable) -> str:
        text = "".join([step(event) for step in steps])
        octets = len(text.encode(errors="surrogatepass"))
        if octets > TEXT_BYTES_MAX:
            problem = f"the text has {octets} bytes, at most {TEXT_BYTES_MAX} are allowed"
            raise Failed(Cause.TEXT_TOO_LONG, node.position, problem)
        return text

    return concat


def _comparison(node: Comparison) -> Step[bool]:
    """Order is one of numbers. Equal are texts if one side is a text, else numbers."""
    if node.sign in ORDERINGS:
        return _compared(node, _number, ORDERINGS[node.sign])
    kinds = {_kind(node.left), _kind(node.right)}
    compare = operator.eq if node.sign == "=" else operator.ne
    if str in kinds:
        return _compared(node, _text, compare)
    return _compared(node, _number if Decimal in kinds else value_step, compare)


def _compared(
    node: Comparison, side: Callable[[Node], Step[T]], compare: Callable[[T, T], bool]
) -> Step[bool]:
    left, right = side(node.left), side(node.right)
    return lambda event: compare(left(event), right(event))


def _kind(node: Node) -> type[Decimal] | type[str] | None:
    """Return what `node` always is; None if that depends on the event."""
    match node:
        case PropertyRead() | Comparison():
            return None
        case Text() | TypeRead() | Call(function="concat"):
            return str
        case Call(function="if"):
            kinds = {_kind(branch) for branch in node.arguments[1:]}
            return kinds.pop() if len(kinds) == 1 else None
        case _:
            return Decimal


def _misplaced(node: Node, expected: str, found: str) -> ExpressionInvalid:
    return ExpressionInvalid(Refusal.KIND, node.position, expected, found)
