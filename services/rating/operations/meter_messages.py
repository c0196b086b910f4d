"""Meters, and what their expressions give, as messages of the contract."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from libs.quantity import decimal_text
from libs.wire import timestamp
from services.rating.domain.expression_event import Cause, Failure
from services.rating.domain.meter import Aggregation, DayBucket, Meter, ValueInput
from services.rating.domain.rounding import Rounding, RoundingMode
from tally.rating.v1 import meter_service_pb2 as pb

AGGREGATIONS = {each: pb.Aggregation.Value(f"AGGREGATION_{each.name}") for each in Aggregation}
VALUE_INPUTS = {each: pb.ValueInput.Value(f"VALUE_INPUT_{each.name}") for each in ValueInput}
DAY_BUCKETS = {each: pb.DayBucket.Value(f"DAY_BUCKET_{each.name}") for each in DayBucket}
ROUNDING_MODES = {
    each: pb.RoundingMode.Value(f"ROUNDING_MODE_{each.name}") for each in RoundingMode
}
CAUSES = {
    each: pb.ExpressionFailureCause.Value(f"EXPRESSION_FAILURE_CAUSE_{each.name}") for each in Cause
}


def meter_message(meter: Meter) -> pb.Meter:
    """Write a meter."""
    return pb.Meter(
        meter_id=str(meter.meter_id),
        code=meter.code,
        name=meter.name,
        event_type=meter.event_type,
        aggregation=AGGREGATIONS[meter.aggregation],
        value_property=meter.value_property,
        dimensions=[pb.Dimension(key=each.key, values=each.values) for each in meter.dimensions],
        created_at=timestamp(meter.created_at),
        expression=meter.expression,
        rounding=_rounding_message(meter.rounding),
        value_input=VALUE_INPUTS[meter.value_input]
        if meter.value_input
        else pb.VALUE_INPUT_UNSPECIFIED,
        percentile=meter.percentile,
        recurring=meter.recurring,
        day_bucket=DAY_BUCKETS[meter.day_bucket] if meter.day_bucket else pb.DAY_BUCKET_UNSPECIFIED,
        archived_at=_optional(meter.archived_at),
        fan_out=meter.fan_out,
        changed_at=_optional(meter.changed_at),
    )


def evaluation_message(value: Decimal | str | Failure) -> pb.EvaluateExpressionResponse:
    """Write what an expression gave for an event."""
    match value:
        case Failure():
            failure = pb.ExpressionFailure(
                cause=CAUSES[value.cause], position=value.position, problem=value.problem
            )
            return pb.EvaluateExpressionResponse(failure=failure)
        case str():
            return pb.EvaluateExpressionResponse(text=value)
        case Decimal():
            return pb.EvaluateExpressionResponse(number=decimal_text(value))


def _optional(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else timestamp(instant)


def _rounding_message(rounding: Rounding | None) -> pb.Rounding | None:
    if rounding is None:
        return None
    return pb.Rounding(mode=ROUNDING_MODES[rounding.mode], places=rounding.places)
