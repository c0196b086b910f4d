"""Reading what an expression is tried on: an event that is not recorded."""

from __future__ import annotations

from datetime import datetime

from libs.errors import FieldInvalid
from libs.wire import Faults, parse_text, parse_timestamp
from services.rating.api.event_parsing import parse_properties
from services.rating.api.meter_parsing import EXPRESSION_BYTES_MAX
from services.rating.domain.event import micros
from services.rating.domain.expression import Expression, parse_expression
from services.rating.domain.expression_event import Readable
from services.rating.domain.expression_tree import ExpressionInvalid
from tally.rating.v1 import meter_service_pb2 as pb


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
        properties = parse_properties(request.properties, "properties")
    faults.check()
    return expression, Readable(event_type, micros(time), properties)


def _parse_expression(text: str) -> Expression:
    parse_text(text, "expression", bytes_max=EXPRESSION_BYTES_MAX)
    try:
        return parse_expression(text)
    except ExpressionInvalid as invalid:
        raise FieldInvalid("expression", str(invalid)) from invalid
