"""Reading meters: every fault of one is found at once, by field path."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from libs.wire import Faults, check_size, parse_code, parse_enum, parse_text
from services.rating.domain.meter import Aggregation, Dimension, Meter, meter_faults
from tally.rating.v1 import meter_service_pb2 as pb

KEY_BYTES_MAX = 64  # As of the properties of an event.
VALUE_BYTES_MAX = 1_024
METER_BYTES_MAX = 256 * 1024


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
    dimensions: list[Dimension] = []
    for place, each in enumerate(message.dimensions):
        with faults.gathered():
            dimensions.append(_parse_dimension(each, f"{path}.dimensions[{place}]"))
    faults.check()
    meter = Meter(
        meter_id=uuid4(),
        code=code,
        name=name or code,
        event_type=event_type or code,
        aggregation=aggregation,
        value_property=value_property,
        dimensions=tuple(dimensions),
        created_at=now,
    )
    for fault in meter_faults(meter, path):
        faults.add(fault.field, fault.problem)
    faults.check()
    return meter


def _parse_dimension(message: pb.Dimension, path: str) -> Dimension:
    faults = Faults()
    with faults.gathered():
        key = parse_text(message.key, f"{path}.key", bytes_max=KEY_BYTES_MAX)
    for place, value in enumerate(message.values):
        with faults.gathered():
            parse_text(value, f"{path}.values[{place}]", bytes_max=VALUE_BYTES_MAX)
    faults.check()
    return Dimension(key, tuple(message.values))
