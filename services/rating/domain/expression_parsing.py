"""Reading an expression: from its text to a tree.

    comparison := sum [("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") sum]
    sum        := product {("+" | "-") product}
    product    := factor {("*" | "/") factor}
    factor     := {"-"} primary
    primary    := number | 'text' | what is read | "(" comparison ")"
                | function "(" comparison {"," comparison} ")"

What is read is event.… for meters; `Names` are what others read. A text holds an apostrophe as
two. Names of functions are written in lower, UPPER or Capitalized form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from libs.quantity import find_quantity
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

CHARACTERS_MAX = 4_000
DEPTH_MAX = 32  # Of parentheses and calls in one another.
NODES_MAX = 200  # What evaluating costs: literals, what is read, operators and calls.

READS = "event.type, event.code, event.time, event.timestamp or event.properties.NAME"
TOKEN = re.compile(
    r"(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<text>'(?:[^']|'')*')"
    r"|(?P<name>[A-Za-z_]\w*(?:\.\w+)*)"
    r"|(?P<sign>[=!<>]=|<>|[-+*/(),=<>])",
    re.ASCII,
)
BLANK = re.compile(r"[ \t\r\n]*")
COMPARISONS = {"==": "=", "<>": "!="} | {sign: sign for sign in ("=", "!=", "<", "<=", ">", ">=")}
OPERATIONS = (("+", "-"), ("*", "/"))  # From loose to tight.


class Function(NamedTuple):
    """A function by the first of its names, and how many arguments it takes."""

    name: str
    least: int
    most: int | None = None


FUNCTIONS = {
    "concat": Function("concat", 1),
    "round": Function("round", 1, 2),
    "ceil": Function("ceil", 1, 2),
    "floor": Function("floor", 1, 2),
    "if": Function("if", 3, 3),
    "least": Function("least", 1),
    "min": Function("least", 1),
    "greatest": Function("greatest", 1),
    "max": Function("greatest", 1),
}
SPELLINGS = {
    spelling: function
    for name, function in FUNCTIONS.items()
    for spelling in (name, name.upper(), name.capitalize())
}
EVENT_READS: dict[str, Callable[[int], Node]] = {
    "event.type": TypeRead,
    "event.code": TypeRead,
    "event.time": TimeRead,
    "event.timestamp": TimeRead,
}


class Token(NamedTuple):
    """A word of the text; `kind` is number, text, name, sign or end."""

    kind: str
    text: str
    position: int


class Names(NamedTuple):
    """What an expression may read: `read` returns None for a name that is none of its own."""

    short: str  # For people: "event.…".
    read: Callable[[Token], Node | None]

    @property
    def value(self) -> str:
        """What may stand where a value is needed, for people."""
        return f"a number, a 'text', {self.short}, a function or '('"


def parse_tree(text: str, names: Names | None = None) -> Node:
    """Return the tree that `text` is; it reads events, or what `names` are.

    "1 + 2 * 3" gives Operation("+") of 1 and Operation("*").

    Raises:
        ExpressionInvalid: it is none, or too long, deep or costly.
    """
    if len(text) > CHARACTERS_MAX:
        expected, found = f"at most {CHARACTERS_MAX} characters", f"{len(text)}"
        raise ExpressionInvalid(Refusal.TOO_LONG, CHARACTERS_MAX + 1, expected, found)
    names = names or EVENT
    parser = _Parser(list(_tokens(text, names)), names)
    tree = parser.comparison()
    if parser.next.kind != "end":
        raise _unexpected(parser.next, "an operator or the end")
    return tree


def _tokens(text: str, names: Names) -> Iterator[Token]:
    place, end = 0, len(text)
    while True:
        blank = BLANK.match(text, place)
        place = blank.end() if blank else place
        if place == end:
            yield Token("end", "", place + 1)
            return
        token = TOKEN.match(text, place)
        if token is None and text[place] == "'":
            raise ExpressionInvalid(Refusal.TEXT_UNCLOSED, place + 1, "a closing '", "the end")
        if token is None:
            found = repr(text[place])
            raise ExpressionInvalid(Refusal.CHARACTER_UNKNOWN, place + 1, names.value, found)
        yield Token(token.lastgroup or "", token[0], place + 1)
        place = token.end()


def _unexpected(token: Token, expected: str) -> ExpressionInvalid:
    found = repr(token.text[:50]) if token.text else "the end"
    return ExpressionInvalid(Refusal.SYNTAX, token.position, expected, found)


@dataclass(slots=True)
class _Parser:
    """Reads tokens from left to right; each method takes what it is named after."""

    tokens: list[Token]
    names: Names
    place: int = 0
    depth: int = 0
    nodes: int = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def comparison(self) -> Node:
        left = self.operation()
        sign = self.find(*COMPARISONS)
        if sign is None:
            return left
        self.count(sign)
        return Comparison(sign.position, COMPARISONS[sign.text], left, self.operation())

    def operation(self, level: int = 0) -> Node:
        if level == len(OPERATIONS):
            return self.factor()
        left = self.operation(level + 1)
        while sign := self.find(*OPERATIONS[level]):
            self.count(sign)
            left = Operation(sign.position, sign.text, left, self.operation(level + 1))
        return left

    def factor(self) -> Node:
        first, negative = self.next, False
        while minus := self.find("-"):  # Not by recursion: there may be thousands.
            self.count(minus)
            negative = not negative
        operand = self.primary()
        if not negative:
            return operand
        if isinstance(operand, Number):
            return Number(first.position, operand.value.copy_negate())
        return Negation(first.position, operand)

    def primary(self) -> Node:
        token = self.next
        self.count(token)
        if self.find("("):
            self.descend(token)
            inner = self.comparison()
            self.ascend()
            return inner
        if token.kind not in {"number", "text", "name"}:
            raise _unexpected(token, self.names.value)
        self.place += 1
        match token.kind:
            case "number":
                return _number(token)
            case "text":
                return Text(token.position, token.text[1:-1].replace("''", "'"))
            case _:
                return self.names.read(token) or self.call(token)

    def call(self, token: Token) -> Node:
        function = SPELLINGS.get(token.text)
        if function is None:
            expected = f"{self.names.short} or one of the functions " + ", ".join(FUNCTIONS)
            raise ExpressionInvalid(
                Refusal.NAME_UNKNOWN, token.position, expected, repr(token.text[:50])
            )
        opening = self.next
        if not self.find("("):
            raise _unexpected(opening, "'('")
        self.descend(opening)
        arguments = [self.comparison()]
        while self.find(","):
            arguments.append(self.comparison())
        self.ascend("',' or ')'")
        _check_count(token, function, len(arguments))
        return Call(token.position, function.name, tuple(arguments))

    def find(self, *signs: str) -> Token | None:
        """Take the next token if it is one of `signs`."""
        token = self.next
        if token.text not in signs:
            return None
        self.place += 1
        return token

    def descend(self, opening: Token) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            expected, found = f"at most {DEPTH_MAX} '(' in one another", "one more"
            raise ExpressionInvalid(Refusal.TOO_DEEP, opening.position, expected, found)

    def ascend(self, expected: str = "an operator or ')'") -> None:
        if not self.find(")"):
            raise _unexpected(self.next, expected)
        self.depth -= 1

    def count(self, token: Token) -> None:
        self.nodes += 1
        if self.nodes > NODES_MAX:
            expected, found = f"at most {NODES_MAX} values, operators and calls", "one more"
            raise ExpressionInvalid(Refusal.TOO_MANY_NODES, token.position, expected, found)


def _number(token: Token) -> Node:
    value = find_quantity(token.text)
    if value is None:
        expected, found = "a number below 10^30 with at most 30 places", token.text[:50]
        raise ExpressionInvalid(Refusal.NUMBER_OUT_OF_RANGE, token.position, expected, found)
    return Number(token.position, value)


def _read_event(token: Token) -> Node | None:
    if not token.text.startswith("event"):
        return None
    if token.text in EVENT_READS:
        return EVENT_READS[token.text](token.position)
    head, _, name = token.text.rpartition(".")
    if head != "event.properties":
        found = repr(token.text[:50])
        raise ExpressionInvalid(Refusal.NAME_UNKNOWN, token.position, READS, found)
    return PropertyRead(token.position, name)


def _check_count(token: Token, function: Function, count: int) -> None:
    _, least, most = function
    if count >= least and (most is None or count <= most):
        return
    counts = f"{least}" if least == most else f"{least} to {most}"
    found = f"{count}"
    raise ExpressionInvalid(Refusal.ARGUMENT_COUNT, token.position, f"{counts} arguments", found)


EVENT = Names("event.…", _read_event)
