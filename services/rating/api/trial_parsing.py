"""Reading what an expression is tried on: an event that is not recorded."""

from __future__ import annotations

from datetime import datetime

from libs.errors import FieldInvalid
from libs.wire import Faults, parse_decimal, parse_text, parse_timestamp
from services.rating.api.meter_parsing import EXPRESSION_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX
from services.rating.domain.event import PropertyValue, micros
from services.rating.domain.expression import Expression, parse_expression
from services.rating.domain.expression_event import Readable
from services.rating.domain.expression_tree import ExpressionInvalid
from tally.ingest.v1 import event_pb2
from tally.rating.v1 import meter_service_pb2 as pb

PROPERTIES_MAX = 64


def parse_trial(
    request: pb.EvaluateExpressionRequest, now: datetime
) -> tuple[Expression, Readable]:
    """Return an expression, and the event that it is tried on.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    time = now
    with faults.gathered():
        expression = _parse_expression(request.expression)
    with faults.gathered():
        event_type = parse_text(request.event_type, "event_type", required=False)
    with faults.gathered():
        if request.HasField("time"):
            time = parse_timestamp(request.time, "time")
    with faults.gathered():
        properties = _parse_properties(request)
    faults.check()
    return expression, Readable(event_type, micros(time), properties)


def _parse_expression(text: str) -> Expression:
    parse_text(text, "expression", bytes_max=EXPRESSION_BYTES_MAX)
    try:
        return parse_expression(text)
    except ExpressionInvalid as invalid:
        raise FieldInvalid("expression", str(invalid)) from invalid


def _parse_properties(request: pb.EvaluateExpressionRequest) -> dict[str, PropertyValue]:
    faults = Faults()
    if len(request.properties) > PROPERTIES_MAX:
        problem = f"are {len(request.properties)}, at most {PROPERTIES_MAX} are allowed"
        raise FieldInvalid("properties", problem)
    found: dict[str, PropertyValue] = {}
    for key, value in sorted(request.properties.items()):
        with faults.gathered():
            parse_text(key, "properties", bytes_max=KEY_BYTES_MAX)
            found[key] = _parse_property(value, f"properties.{key}")
    faults.check()
    return found


def _parse_property(value: event_pb2.PropertyValue, path: str) -> PropertyValue:
    match value.WhichOneof("kind"):
        case "text":
            return parse_text(value.text, path, bytes_max=VALUE_BYTES_MAX, required=False)
        case "decimal":
            return parse_decimal(value.decimal, path)
        case "flag":
            return value.flag
        case _:
            raise FieldInvalid(path, "is missing")
