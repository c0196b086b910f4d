"""Reading meters: every fault of one is found at once, by field path."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from libs.wire import EnumType, Faults, check_size, parse_code, parse_enum, parse_text
from services.rating.domain.expression_parsing import CHARACTERS_MAX
from services.rating.domain.meter import Aggregation, DayBucket, Dimension, Meter, ValueInput
from services.rating.domain.meter_rules import meter_faults
from services.rating.domain.rounding import Rounding, RoundingMode
from tally.rating.v1 import meter_service_pb2 as pb

KEY_BYTES_MAX = 64  # As of the properties of an event.
VALUE_BYTES_MAX = 1_024
METER_BYTES_MAX = 256 * 1024
EXPRESSION_BYTES_MAX = 4 * CHARACTERS_MAX


def parse_meter(message: pb.Meter, path: str, now: datetime) -> Meter:
    """Read the meter that is created at `now`.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault, below `path`.
    """
    check_size(message, path, bytes_max=METER_BYTES_MAX)
    faults = Faults()
    with faults.gathered():
        code = parse_code(message.code, f"{path}.code")
    with faults.gathered():
        name = parse_text(message.name, f"{path}.name", required=False)
    with faults.gathered():
        event_type = parse_text(message.event_type, f"{path}.event_type", required=False)
    with faults.gathered():
        aggregation = Aggregation(
            parse_enum(
                message.aggregation,
                pb.Aggregation,
                f"{path}.aggregation",
                prefix="AGGREGATION_",
            )
        )
    with faults.gathered():
        value_property = parse_text(
            message.value_property,
            f"{path}.value_property",
            bytes_max=KEY_BYTES_MAX,
            required=False,
        )
    with faults.gathered():
        expression = parse_text(
            message.expression,
            f"{path}.expression",
            bytes_max=EXPRESSION_BYTES_MAX,
            required=False,
        )
    with faults.gathered():
        rounding = _parse_rounding(message, f"{path}.rounding")
    with faults.gathered():
        value_input = _parse_option(
            message.value_input, pb.ValueInput, f"{path}.value_input", "VALUE_INPUT_"
        )
    with faults.gathered():
        day_bucket = _parse_option(
            message.day_bucket, pb.DayBucket, f"{path}.day_bucket", "DAY_BUCKET_"
        )
    dimensions: list[Dimension] = []
    for place, each in enumerate(message.dimensions):
        with faults.gathered():
            dimensions.append(_parse_dimension(each, f"{path}.dimensions[{place}]"))
    faults.check()
    if aggregation is Aggregation.WEIGHTED_SUM:
        value_input = value_input or ValueInput.DELTA
    meter = Meter(
        meter_id=uuid4(),
        code=code,
        name=name or code,
        event_type=event_type or code,
        aggregation=aggregation,
        value_property=value_property,
        dimensions=tuple(dimensions),
        created_at=now,
        expression=expression,
        rounding=rounding,
        value_input=ValueInput(value_input) if value_input else None,
        percentile=message.percentile,
        recurring=message.recurring,
        fan_out=message.fan_out,
        day_bucket=DayBucket(day_bucket) if day_bucket else None,
    )
    for fault in meter_faults(meter, path):
        faults.add(fault.field, fault.problem)
    faults.check()
    return meter


def _parse_option(value: int, enum: EnumType, path: str, prefix: str) -> str:
    """Read an enum value that may be left out: ""."""
    return parse_enum(value, enum, path, prefix=prefix) if value else ""


def _parse_rounding(message: pb.Meter, path: str) -> Rounding | None:
    if not message.HasField("rounding"):
        return None
    mode = parse_enum(
        message.rounding.mode, pb.RoundingMode, f"{path}.mode", prefix="ROUNDING_MODE_"
    )
    return Rounding(RoundingMode(mode), message.rounding.places)


def _parse_dimension(message: pb.Dimension, path: str) -> Dimension:
    faults = Faults()
    with faults.gathered():
        key = parse_text(message.key, f"{path}.key", bytes_max=KEY_BYTES_MAX)
    for place, value in enumerate(message.values):
        with faults.gathered():
            parse_text(value, f"{path}.values[{place}]", bytes_max=VALUE_BYTES_MAX)
    faults.check()
    return Dimension(key, tuple(message.values))
