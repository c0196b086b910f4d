"""The language in which a meter computes its value from an event.

Numbers are decimals below 10^30 with at most 30 places. Sums and differences are exact; products
and quotients are exact too, or rounded at the 30th place, half away from zero, each step for
itself: 1 / 3 is 0.333333333333333333333333333333. Nothing else rounds but round, ceil and floor.

A property that holds a number counts as one, written as a text or not; where a text is needed, it
is taken as it was sent. What is missing, or no number where one is needed, fails the expression
for that event. `if` evaluates the branch that it takes, and not the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from services.rating.domain.expression_arithmetic import canonical
from services.rating.domain.expression_event import Failed, Failure, Readable, Step
from services.rating.domain.expression_parsing import Names, parse_tree
from services.rating.domain.expression_steps import properties_of, value_step


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression ready to be evaluated, and the names of the properties that it may read."""

    text: str
    properties: frozenset[str]
    step: Step[Decimal | str] = field(repr=False, compare=False)


def parse_expression(text: str, names: Names | None = None) -> Expression:
    """Return the expression that `text` is, to be evaluated for many events.

    It reads events, or what `names` are.

    Raises:
        ExpressionInvalid: it is none, is too long, deep or costly, or a text or a condition
            stands where no event could make it a number.
    """
    tree = parse_tree(text, names)
    return Expression(text, frozenset(properties_of(tree)), value_step(tree))


def evaluate(expression: Expression, event: Readable) -> Decimal | str | Failure:
    """Return the value of `expression` for `event`.

    "event.properties.gib * 1024" of {"gib": "1.5"} is Decimal(1536).
    """
    try:
        value = expression.step(event)
    except Failed as failed:
        return failed.failure
    return value if isinstance(value, str) else canonical(value)
