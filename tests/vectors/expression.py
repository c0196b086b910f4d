"""Cases of expressions, told to the domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.quantity import decimal_text
from services.rating.domain.expression import evaluate, parse_expression
from services.rating.domain.expression_event import Failure, Readable
from services.rating.domain.expression_tree import ExpressionInvalid

MICROS = 1_000_000


def evaluate_case(given: Mapping[str, Any]) -> object:
    """Return {"result": {"number" or "string": text}}, or {"error": "parse" or "evaluate"}."""
    event = given["event"]
    readable = Readable(event["code"], event["timestamp"] * MICROS, event["properties"])
    try:
        value = evaluate(parse_expression(given["expression"]), readable)
    except ExpressionInvalid:
        return {"error": "parse"}
    if isinstance(value, Failure):
        return {"error": "evaluate"}
    if isinstance(value, str):
        return {"result": {"string": value}}
    return {"result": {"number": decimal_text(value)}}
