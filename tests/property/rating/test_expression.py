"""Expressions against an oracle on fractions, and against whatever can be typed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.event import PropertyValue
from services.rating.domain.expression import Expression, evaluate, parse_expression
from services.rating.domain.expression_event import Failure, Readable
from services.rating.domain.expression_parsing import DEPTH_MAX, NODES_MAX
from services.rating.domain.expression_tree import ExpressionInvalid, Refusal
from services.rating.domain.value import parse_value, text_of

EVENT_TIME = 1_700_000_000_123_456
LAST_PLACE = 10**30
TOO_LARGE = 10**30
PARSE_SECONDS_MAX = 2  # Of the processor; it takes some milliseconds.


@dataclass(frozen=True)
class Tree:
    """An operator, a function or a leaf, with what it works on."""

    name: str
    inner: tuple[Any, ...]


class Trouble(Exception):
    """The oracle has no value; the argument says why."""


numbers = st.one_of(
    st.integers(0, 20).map(Decimal),
    st.decimals(min_value=0, max_value=1_000, places=3),
    st.sampled_from([Decimal("9" * 30), Decimal("1e29"), Decimal("1e-30"), Decimal("1e15")]),
)
texts = st.text("a1.'- ", max_size=6)
names = st.sampled_from(["a", "b", "c_1", "Missing"])
properties = st.fixed_dictionaries(
    {
        "a": numbers | numbers.map(lambda number: f"{number:f}"),
        "b": numbers.map(lambda number: -number) | numbers.map(lambda number: f"-{number:f}"),
        "c_1": st.one_of(texts, numbers, st.booleans()),
    }
)
leaves = st.one_of(
    st.builds(Tree, st.just("number"), st.tuples(numbers)),
    st.builds(Tree, st.just("property"), st.tuples(names)),
    st.just(Tree("event.time", ())),
)
text_trees = st.one_of(
    st.builds(Tree, st.just("text"), st.tuples(texts)),
    st.builds(Tree, st.just("property"), st.tuples(names)),
)


def wider(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    """Return trees of numbers over those of `inner`."""
    pairs = st.tuples(inner, inner)
    signs = st.sampled_from(["<", "<=", ">", ">="])
    asked = st.one_of(
        st.builds(Tree, signs, pairs),
        st.builds(
            lambda sign, text, other: Tree(sign, (Tree("concat", (text,)), other)),
            st.sampled_from(["=", "!="]),
            text_trees,
            text_trees | inner,
        ),
    )
    digits = st.integers(-3, 4)
    return st.one_of(
        st.builds(Tree, st.sampled_from(["+", "-", "*", "/"]), pairs),
        st.builds(Tree, st.just("negative"), st.tuples(inner)),
        st.builds(Tree, st.sampled_from(["round", "ceil", "floor"]), st.tuples(inner, digits)),
        st.builds(
            Tree,
            st.sampled_from(["least", "max"]),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
        ),
        st.builds(Tree, st.just("if"), st.tuples(asked, inner, inner)),
    )


trees = st.recursive(leaves, wider, max_leaves=10)
TIGHTNESS = {"<": 0, "<=": 0, ">": 0, ">=": 0, "=": 0, "!=": 0, "+": 1, "-": 1, "*": 2, "/": 2}


def printed(tree: Tree, level: int = 0) -> str:
    """Write `tree`, in parentheses only where it is looser than `level`."""
    match tree:
        case Tree("number", (value,)):
            return f"{value:f}"
        case Tree("text", (value,)):
            return "'" + str(value).replace("'", "''") + "'"
        case Tree("property", (name,)):
            return f"event.properties.{name}"
        case Tree("event.time", ()):
            return "event.time"
        case Tree("negative", (inner,)):
            return "-" + printed(inner, 3)
        case Tree(name, (left, right)) if name in TIGHTNESS:
            own = TIGHTNESS[name]
            text = f"{printed(left, own)} {name} {printed(right, own + 1)}"
            return f"({text})" if own < level else text
        case Tree(name, inner):
            written = [str(one) if isinstance(one, int) else printed(one) for one in inner]
            return f"{name.upper()}({', '.join(written)})"


Properties = dict[str, PropertyValue]


def computed(tree: Tree, given: Properties) -> Fraction:
    """Return the number that `tree` is, as a fraction."""
    match tree:
        case Tree("number", (value,)):
            return Fraction(value)
        case Tree("property", (name,)):
            return number_of(name, given)
        case Tree("event.time", ()):
            return Fraction(EVENT_TIME, 10**6)
        case Tree("negative", (inner,)):
            return -computed(inner, given)
        case Tree("round" | "ceil" | "floor" as mode, (inner, digits)):
            return bounded(to_multiple(mode, computed(inner, given), Fraction(10) ** -digits))
        case Tree("least" | "max" as name, inner):
            values = sorted(computed(one, given) for one in inner)
            return values[0] if name == "least" else values[-1]
        case Tree("if", (asked, yes, no)):
            return computed(yes if holds(asked, given) else no, given)
        case Tree(name, (left, right)):
            return joined(name, computed(left, given), computed(right, given))
    raise AssertionError(tree)


def joined(name: str, left: Fraction, right: Fraction) -> Fraction:
    if name == "/" and right == 0:
        raise Trouble("DIVISION_BY_ZERO")
    join: dict[str, Callable[[], Fraction]] = {
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: left / right,
    }
    return bounded(to_multiple("round", join[name](), Fraction(1, LAST_PLACE)))


def to_multiple(mode: str, value: Fraction, unit: Fraction) -> Fraction:
    """Round `value` to a multiple of `unit`."""
    whole, rest = divmod(abs(value) / unit, 1)
    negative = value < 0
    up = {
        "round": rest >= Fraction(1, 2),
        "ceil": rest and not negative,
        "floor": rest and negative,
    }
    rounded = (whole + (1 if up[mode] else 0)) * unit
    return -rounded if negative else rounded


def bounded(value: Fraction) -> Fraction:
    if abs(value) >= TOO_LARGE:
        raise Trouble("OUT_OF_RANGE")
    return value


def number_of(name: str, given: Properties) -> Fraction:
    if name not in given:
        raise Trouble("PROPERTY_MISSING")
    value = parse_value(given[name])
    if value is None:
        raise Trouble("NOT_A_NUMBER")
    return Fraction(value)


def holds(asked: Tree, given: Properties) -> bool:
    """Tell whether a condition holds; equality, here, is always one of texts."""
    left, right = asked.inner
    if asked.name in {"=", "!="}:
        return (written(left, given) == written(right, given)) is (asked.name == "=")
    one, other = computed(left, given), computed(right, given)
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[asked.name]


def written(tree: Tree, given: Properties) -> str:
    match tree:
        case Tree("text", (value,)):
            return str(value)
        case Tree("concat", inner):
            return "".join(written(one, given) for one in inner)
        case Tree("if", (asked, yes, no)):
            return written(yes if holds(asked, given) else no, given)
        case Tree("property", (name,)):
            if name not in given:
                raise Trouble("PROPERTY_MISSING")
            return text_of(given[name])
    value = computed(tree, given)
    sign, scaled = "-" if value < 0 else "", abs(value) * LAST_PLACE
    whole, places = divmod(scaled.numerator, LAST_PLACE)
    return (f"{sign}{whole}.{places:030}").rstrip("0").rstrip(".")


@given(trees, properties)
def test_what_is_printed_and_parsed_evaluates_like_the_oracle(
    tree: Tree, values: Properties
) -> None:
    number = Tree("-", (tree, Tree("number", (Decimal(0),))))  # A property alone may be a text.
    result = evaluate(parse_expression(printed(number)), Readable("", EVENT_TIME, values))
    try:
        expected = computed(number, values)
    except Trouble as trouble:
        assert isinstance(result, Failure) and result.cause == str(trouble)
    else:
        assert isinstance(result, Decimal) and Fraction(result) == expected
        assert parse_value(result) == result  # A meter can count it.


@given(trees, properties)
def test_what_is_concatenated_is_plain_and_canonical(tree: Tree, values: Properties) -> None:
    parts = Tree("concat", (tree, Tree("text", ("|",))))
    result = evaluate(parse_expression(printed(parts)), Readable("", EVENT_TIME, values))
    try:
        expected = written(parts, values)
    except Trouble as trouble:
        assert isinstance(result, Failure) and result.cause == str(trouble)
    else:
        assert result == expected


@given(
    st.one_of(
        st.text(),
        st.text("0123456789.eE+-", max_size=70),
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40),
        st.booleans(),
    )
)
def test_a_property_alone_is_what_a_meter_reads(value: PropertyValue) -> None:
    result = evaluate(parse_expression("event.properties.v"), Readable("", 0, {"v": value}))
    number = parse_value(value)
    assert result == (text_of(value) if number is None else number)
    assert isinstance(result, str) == (number is None)


WORDS = [
    "1", "2.5", "1e29", "''", "'a'", "+", "-", "*", "/", "(", ")", ",", "=", "<", "!=", " ",
    "round(", "if(", "MIN(", "Concat(", "event.time", "event.type", "event.properties.a", "'", "é",
]  # fmt: skip


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
def test_any_text_is_evaluated_or_refused(text: str) -> None:
    try:
        expression = parse_expression(text)
    except ExpressionInvalid as fault:
        assert 1 <= fault.position <= len(text) + 1
        assert fault.expected and fault.found
    else:
        result = evaluate(expression, Readable("t", 0, {"a": text}))
        assert isinstance(result, Decimal | str | Failure)


@pytest.mark.parametrize(
    "word", [*WORDS, "1+", "1*-", "(1)+", "max(1,", "if(1=1,1,", "''''", "((-"]
)
def test_what_is_repeated_is_refused_by_name_and_soon(word: str) -> None:
    began = time.process_time()
    for count in (*range(1, 60), 500, 3_900 // len(word), 100_000):
        for ending in ("", "1", "1" + ")" * count):
            try:
                expression = parse_expression(word * count + ending)
            except ExpressionInvalid as fault:
                assert fault.refusal in Refusal
            else:
                evaluate(expression, Readable("t", 0, {"a": "1"}))
    assert time.process_time() - began < PARSE_SECONDS_MAX


@given(st.integers(1, 2_000), st.sampled_from(["(", "max(", "-(", "1+round("]))
def test_nesting_is_bounded_by_name(depth: int, opening: str) -> None:
    text = opening * depth + "1" + ")" * depth
    if depth <= DEPTH_MAX:
        assert isinstance(parse_expression(text), Expression)
        return
    with pytest.raises(ExpressionInvalid) as caught:
        parse_expression(text)
    too_long = caught.value.refusal is Refusal.TOO_LONG
    assert too_long if len(text) > 4_000 else caught.value.refusal is Refusal.TOO_DEEP


@given(st.integers(0, 2_500), st.sampled_from("+-*/"))
def test_chains_are_bounded_by_name(length: int, sign: str) -> None:
    text = "1" + f"{sign}1" * length
    if 2 * length + 1 <= NODES_MAX:
        value = {"+": 1 + length, "-": 1 - length}.get(sign, 1)
        assert evaluate(parse_expression(text), Readable("", 0, {})) == value
        return
    with pytest.raises(ExpressionInvalid) as caught:
        parse_expression(text)
    assert caught.value.refusal in {Refusal.TOO_LONG, Refusal.TOO_MANY_NODES}


def test_the_deepest_and_longest_leaves_room_on_the_stack() -> None:
    calls = (NODES_MAX - 1) // 2 - DEPTH_MAX
    text = "max(" * DEPTH_MAX + "1" + "+1" * calls + ")" * DEPTH_MAX

    def under(frames: int) -> Decimal | str | Failure:
        if frames:
            return under(frames - 1)
        return evaluate(parse_expression(text), Readable("", 0, {}))

    assert under(500) == calls + 1
