"""The language in which meters compute their values."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.rating.domain.event import PropertyValue
from services.rating.domain.expression import evaluate, parse_expression
from services.rating.domain.expression_event import Cause, Failure, Readable
from services.rating.domain.expression_parsing import CHARACTERS_MAX, DEPTH_MAX, NODES_MAX
from services.rating.domain.expression_tree import ExpressionInvalid, Refusal
from services.rating.domain.value import parse_value, text_of

PROPERTIES: dict[str, PropertyValue] = {
    "n": "12.34",
    "d": Decimal("2.50"),
    "sku": "007",
    "region": "eu",
    "flag": True,
    "off": "false",
    "empty": "",
    "long": "x" * 600,
    "huge": "1e30",
    "fine": "1e-31",
    "5xx": "3",
}
EVENT = Readable("api.call", 1_700_000_000_250_000, PROPERTIES)
NINES = "9" * 30


def valued(text: str) -> Decimal | str | Failure:
    return evaluate(parse_expression(text), EVENT)


def refused(text: str) -> ExpressionInvalid:
    with pytest.raises(ExpressionInvalid) as caught:
        parse_expression(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", "7"),
        (".5 + 5.", "5.5"),
        ("1e3 + 2E-1", "1000.2"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("24 / 4 / 2", "3"),
        ("2 * -3", "-6"),
        ("-2 - -3", "1"),
        ("--5", "5"),
        ("---5", "-5"),
        ("-(1 + 2)", "-3"),
        ("- event.properties.n", "-12.34"),
        (" \t\r\n1\n+\n1 ", "2"),
        ("0 * -1", "0"),
        # Exact, or rounded at the 30th place.
        ("0.1 + 0.2", "0.3"),
        ("1 / 3", "0." + "3" * 30),
        ("2 / 3", "0." + "6" * 29 + "7"),
        ("-2 / 3", "-0." + "6" * 29 + "7"),
        ("1e-30 / 2", "1e-30"),
        ("1e-30 * 0.4999", "0"),
        ("-1e-30 * 0.5", "-1e-30"),
        ("1 / 3 * 3", "0." + "9" * 30),
        (f"{NINES} + 0.{NINES}", f"{NINES}.{NINES}"),
        (f"{NINES}.{NINES[1:]} * 1", f"{NINES}.{NINES[1:]}"),
        # What is read of the event.
        ("event.properties.n", "12.34"),
        ("event.properties.d * 2", "5"),
        ("event.properties.sku", "7"),
        ("event.properties.5xx + 0", "3"),
        ("event.time", "1700000000.25"),
        ("event.timestamp / 2", "850000000.125"),
        # Rounding: half away from zero.
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(2.449, 1)", "2.4"),
        ("round(15, -1)", "20"),
        ("round(4, -1)", "0"),
        ("ceil(2.1)", "3"),
        ("ceil(-2.9)", "-2"),
        ("ceil(1, -2)", "100"),
        ("floor(-2.1)", "-3"),
        ("floor(2.99, 1)", "2.9"),
        ("floor(-1, -29)", "-1e29"),
        ("round(1.2345, 1 + 1)", "1.23"),
        ("round(12.3456, event.properties.5xx)", "12.346"),
        ("Round(1.5) + ROUND(1.5) + round(1.5)", "6"),
        ("least(3, 1, 2)", "1"),
        ("min(event.properties.n, 15)", "12.34"),
        ("greatest(3, event.properties.n, 2)", "12.34"),
        ("max(-0, -1)", "0"),
        ("Max(9)", "9"),
    ],
)
def test_a_number_is_computed(text: str, number: str) -> None:
    value = valued(text)
    assert isinstance(value, Decimal)
    assert value == Decimal(number) and str(value) != "-0"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("'it''s'", "it's"),
        ("''", ""),
        ("'+'", "+"),
        ("'12'", "12"),
        ("event.type", "api.call"),
        ("event.code", "api.call"),
        ("event.properties.region", "eu"),
        ("event.properties.empty", ""),
        ("event.properties.flag", "true"),
        ("event.properties.huge", "1e30"),
        ("concat('a', 1 / 4, -0, 1e3)", "a0.2501000"),
        ("Concat(event.properties.sku, event.properties.d)", "0072.5"),
        ("concat(if(1 < 2, event.properties.sku, 0), event.properties.flag)", "007true"),
        ("concat('\ud800')", "\ud800"),
        ("concat(event.time)", "1700000000.25"),
    ],
)
def test_a_text_is_computed(text: str, result: str) -> None:
    assert valued(text) == result


@pytest.mark.parametrize(
    "condition",
    [
        "1 < 2", "2 <= 2", "3 > 2", "2 >= 2", "2 = 2.0", "2 == 2", "2 != 3", "2 <> 3",
        "1 + 1 = 4 / 2",
        "event.properties.n > 12",
        "event.properties.sku = 7",
        "event.properties.sku = '007'",
        "event.properties.sku != '7'",
        "'2.5' = event.properties.d",
        "event.properties.region = 'eu'",
        "event.properties.region <> event.properties.n",
        "event.properties.region != 'EU'",
        "event.properties.sku = if(1 = 1, '007', 'x')",
        "event.properties.sku = if(1 = 1, 7, 'x')",
        "event.properties.empty = ''",
        "event.properties.flag",
        "event.properties.flag = 'true'",
        "if(event.properties.off, 1 = 2, 1 = 1)",
        "(1 = 1)",
    ],
)  # fmt: skip
def test_a_condition_chooses(condition: str) -> None:
    assert valued(f"if({condition}, 'yes', 'no')") == "yes"
    swapped = f"IF(If({condition}, 1 = 2, 1 = 1), 'no', 'yes')"
    assert valued(swapped) == "yes"


@pytest.mark.parametrize(
    "value",
    [
        "5", "-5", "+5", "5.", ".5", "-.5", "0.10", "1e-7", "0e99", "9" * 30, "-" + "9" * 30,
        "0." + "1" * 30, "0." + "1" * 31, "1.0" + "0" * 40, "1" + "0" * 30, "", ".", "-", "--5",
        "1_0", " 5", "5\n", "١", "²", "NaN", "1e99999999999999999999", "true",
        Decimal("1.50"), Decimal("1e30"), Decimal("1e-30"), Decimal("1e-31"), Decimal("0e99"),
        Decimal("-9e29"), True, False,
    ],
)  # fmt: skip
def test_a_property_counts_as_it_does_for_a_meter(value: PropertyValue) -> None:
    event = Readable("", 0, {"v": value})
    number = parse_value(value)
    alone = evaluate(parse_expression("event.properties.v"), event)
    assert alone == (text_of(value) if number is None else number)
    needed = evaluate(parse_expression("event.properties.v + 0"), event)
    if number is None:
        assert isinstance(needed, Failure) and needed.cause is Cause.NOT_A_NUMBER
    else:
        assert needed == number


def test_only_the_branch_that_is_taken_is_evaluated() -> None:
    assert valued("if(event.properties.n = 0, 1 / 0, 5)") == 5
    assert valued("if(1 = 1, 5, event.properties.none)") == 5


@pytest.mark.parametrize(
    ("text", "cause", "position", "told"),
    [
        ("1 + event.properties.none", Cause.PROPERTY_MISSING, 5, "none"),
        ("event.properties.none", Cause.PROPERTY_MISSING, 1, "none"),
        ("concat(event.properties.none)", Cause.PROPERTY_MISSING, 8, "none"),
        ("if(event.properties.none, 1, 2)", Cause.PROPERTY_MISSING, 4, "none"),
        ("2 * event.properties.region", Cause.NOT_A_NUMBER, 5, "'eu'"),
        ("2 * event.properties.empty", Cause.NOT_A_NUMBER, 5, "''"),
        ("2 * event.properties.flag", Cause.NOT_A_NUMBER, 5, "'true'"),
        ("-event.properties.huge", Cause.NOT_A_NUMBER, 2, "'1e30'"),
        ("-event.properties.fine", Cause.NOT_A_NUMBER, 2, "'1e-31'"),
        ("if(event.properties.region > 1, 1, 2)", Cause.NOT_A_NUMBER, 4, "'eu'"),
        ("if(event.properties.region = 5, 1, 2)", Cause.NOT_A_NUMBER, 4, "'eu'"),
        ("if(event.properties.region, 1, 2)", Cause.NOT_A_CONDITION, 4, "'eu'"),
        ("if(event.properties.n, 1, 2)", Cause.NOT_A_CONDITION, 4, "'12.34'"),
        ("1 / 0", Cause.DIVISION_BY_ZERO, 3, "zero"),
        ("0 / 0", Cause.DIVISION_BY_ZERO, 3, "zero"),
        ("1 + 5 / (2 - 2)", Cause.DIVISION_BY_ZERO, 7, "zero"),
        (f"{NINES} + 1", Cause.OUT_OF_RANGE, 32, "10^30"),
        (f"-{NINES} - 1", Cause.OUT_OF_RANGE, 33, "10^30"),
        ("1e20 * 1e10", Cause.OUT_OF_RANGE, 6, "10^30"),
        ("1e20 / 1e-10", Cause.OUT_OF_RANGE, 6, "10^30"),
        (f"round({NINES}.5)", Cause.OUT_OF_RANGE, 1, "10^30"),
        (f"ceil({NINES}, -29)", Cause.OUT_OF_RANGE, 1, "10^30"),
        ("round(1, event.properties.n)", Cause.DIGITS_INVALID, 10, "12.34"),
        ("floor(1, 15 + 15)", Cause.DIGITS_INVALID, 13, "30"),
        ("concat(event.properties.long, event.properties.long)", Cause.TEXT_TOO_LONG, 1, "1200"),
    ],
)
def test_a_failure_names_its_cause(text: str, cause: Cause, position: int, told: str) -> None:
    value = valued(text)
    assert isinstance(value, Failure)
    assert (value.cause, value.position) == (cause, position)
    assert told in value.problem
    assert str(value) == f"{cause} at character {position}: {value.problem}"


@pytest.mark.parametrize(
    ("text", "refusal", "position", "expected", "found"),
    [
        ("", Refusal.SYNTAX, 1, "a number", "the end"),
        ("  ", Refusal.SYNTAX, 3, "a number", "the end"),
        ("1 +", Refusal.SYNTAX, 4, "a number", "the end"),
        ("* 2", Refusal.SYNTAX, 1, "a number", "'*'"),
        ("+2", Refusal.SYNTAX, 1, "a number", "'+'"),
        ("1 2", Refusal.SYNTAX, 3, "an operator or the end", "'2'"),
        ("12abc", Refusal.SYNTAX, 3, "an operator or the end", "'abc'"),
        ("1)", Refusal.SYNTAX, 2, "an operator or the end", "')'"),
        ("(1", Refusal.SYNTAX, 3, "an operator or ')'", "the end"),
        ("()", Refusal.SYNTAX, 2, "a number", "')'"),
        ("round", Refusal.SYNTAX, 6, "'('", "the end"),
        ("round(1", Refusal.SYNTAX, 8, "',' or ')'", "the end"),
        ("round(1,)", Refusal.SYNTAX, 9, "a number", "')'"),
        ("1 < 2 < 3", Refusal.SYNTAX, 7, "the end", "'<'"),
        ("event.properties. n", Refusal.CHARACTER_UNKNOWN, 17, "a number", "'.'"),
        ("1 # 2", Refusal.CHARACTER_UNKNOWN, 3, "a number", "'#'"),
        ("1 − 2", Refusal.CHARACTER_UNKNOWN, 3, "a number", "'−'"),
        ("١", Refusal.CHARACTER_UNKNOWN, 1, "a number", "'١'"),
        ("1\u00a0+ 1", Refusal.CHARACTER_UNKNOWN, 2, "a number", r"'\xa0'"),
        ('"a"', Refusal.CHARACTER_UNKNOWN, 1, "'text'", "'\"'"),
        ("concat('a", Refusal.TEXT_UNCLOSED, 8, "a closing '", "the end"),
        ("1e30", Refusal.NUMBER_OUT_OF_RANGE, 1, "below 10^30", "1e30"),
        ("2 * 1e-31", Refusal.NUMBER_OUT_OF_RANGE, 5, "30 places", "1e-31"),
        ("9" * 65, Refusal.NUMBER_OUT_OF_RANGE, 1, "below 10^30", "9" * 50),
        ("invalid_expression", Refusal.NAME_UNKNOWN, 1, "concat, round", "'invalid_expression'"),
        ("cOncat('a')", Refusal.NAME_UNKNOWN, 1, "concat", "'cOncat'"),
        ("Event.type", Refusal.NAME_UNKNOWN, 1, "event.…", "'Event.type'"),
        ("event", Refusal.NAME_UNKNOWN, 1, "event.properties.NAME", "'event'"),
        ("event.id", Refusal.NAME_UNKNOWN, 1, "event.time", "'event.id'"),
        ("event.properties.a.b", Refusal.NAME_UNKNOWN, 1, "event.type", "'event.properties.a.b'"),
        ("1 + round()", Refusal.SYNTAX, 11, "a number", "')'"),
        ("round(1, 2, 3)", Refusal.ARGUMENT_COUNT, 1, "1 to 2 arguments", "3"),
        ("if(1 = 1, 2)", Refusal.ARGUMENT_COUNT, 1, "3 arguments", "2"),
        ("1 + 'a'", Refusal.KIND, 5, "a number", "a text"),
        ("-'a'", Refusal.KIND, 2, "a number", "a text"),
        ("2 * event.type", Refusal.KIND, 5, "a number", "a text"),
        ("round(concat('1'))", Refusal.KIND, 7, "a number", "a text"),
        ("min(1, if(1 = 1, 2, 'a'))", Refusal.KIND, 21, "a number", "a text"),
        ("if(1 < 'a', 1, 2)", Refusal.KIND, 8, "a number", "a text"),
        ("1 < 2", Refusal.KIND, 3, "a number or a text", "a comparison"),
        ("1 + (1 < 2)", Refusal.KIND, 8, "a number", "a comparison"),
        ("concat(1 = 2)", Refusal.KIND, 10, "a text or a number", "a comparison"),
        ("if((1 = 1) = (2 = 2), 1, 2)", Refusal.KIND, 7, "a number or a text", "a comparison"),
        ("if(1, 2, 3)", Refusal.KIND, 4, "a condition", "a number or a text"),
        ("round(1, 0.5)", Refusal.KIND, 10, "from -29 to 29", "0.5"),
        ("round(1, -30)", Refusal.KIND, 10, "from -29 to 29", "-30"),
        ("1" + " " * CHARACTERS_MAX, Refusal.TOO_LONG, 4001, "4000 characters", "4001"),
        ("1" * 10_000, Refusal.TOO_LONG, 4001, "4000 characters", "10000"),
        ("(" * 33 + "1" + ")" * 33, Refusal.TOO_DEEP, 33, "32", "one more"),
        ("max(" * 33 + "1" + ")" * 33, Refusal.TOO_DEEP, 132, "32", "one more"),
        ("-" * 4000, Refusal.TOO_MANY_NODES, 201, "200", "one more"),
        ("(" * 4000, Refusal.TOO_DEEP, 33, "32", "one more"),
        ("1" + "+1" * 100, Refusal.TOO_MANY_NODES, 201, "200", "one more"),
    ],
)
def test_a_refusal_tells_where_and_what_was_expected(
    text: str, refusal: Refusal, position: int, expected: str, found: str
) -> None:
    fault = refused(text)
    assert (fault.refusal, fault.position, fault.found) == (refusal, position, found)
    assert expected in fault.expected
    told = f"{refusal} at character {position}: expected {fault.expected}, found {found}"
    assert str(fault) == told


def test_what_is_just_within_bounds_is_evaluated() -> None:
    assert valued("1" + " " * (CHARACTERS_MAX - 1)) == 1
    assert valued("(" * DEPTH_MAX + "1" + ")" * DEPTH_MAX) == 1
    assert valued("(1)" + "+(1)" * 49 + " + 2") == 52
    assert valued("1" + "+1" * (NODES_MAX // 2 - 1)) == NODES_MAX // 2
    assert valued("-" * (NODES_MAX - 1) + "1") == -1


def test_it_tells_the_properties_it_reads() -> None:
    text = "if(event.properties.a = 'x', round(-event.properties.b), event.type) "
    assert parse_expression(text).properties == {"a", "b"}
    assert parse_expression("event.properties.a / event.properties.a").properties == {"a"}
    assert parse_expression("1 - event.properties.c_1").properties == {"c_1"}
    assert parse_expression("1 + event.time").properties == set()


def test_one_expression_serves_many_events() -> None:
    expression = parse_expression("event.properties.n * 2")
    values = [evaluate(expression, Readable("", 0, {"n": str(n)})) for n in range(3)]
    assert values == [0, 2, 4]
