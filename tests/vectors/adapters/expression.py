"""Cases of expressions, told to the domain."""

from __future__ import annotations

from typing import Any

from libs.quantity import decimal_text
from services.rating.domain.expression import evaluate, parse_expression
from services.rating.domain.expression_event import Failure, Readable
from services.rating.domain.expression_tree import ExpressionInvalid
from tests.vectors.given import Given

MICROS = 1_000_000


def evaluate_one(given: Given) -> dict[str, Any]:
    """Return {"result": {"number" or "string": text}}, or {"error": "parse" or "evaluate"}."""
    event = given.inner("event")
    if event.has("transaction_id"):
        event.value("transaction_id")  # An id: no expression can ask for it.
    time = event.value("timestamp") * MICROS
    readable = Readable(event.text("code"), time, event.value("properties"))
    try:
        value = evaluate(parse_expression(given.text("expression")), readable)
    except ExpressionInvalid:
        return {"error": "parse"}
    if isinstance(value, Failure):
        return {"error": "evaluate"}
    if isinstance(value, str):
        return {"result": {"string": value}}
    return {"result": {"number": decimal_text(value)}}
