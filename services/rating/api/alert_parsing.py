"""Reading alerts: every fault of one is found at once, by field path."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

from libs.errors import FieldInvalid
from libs.wire import Faults, parse_code, parse_decimal, parse_enum, parse_text
from services.rating.domain.alert import Alert, AlertDirection, AlertMeasure, Threshold
from services.rating.domain.meter import repeats
from tally.rating.v1 import alert_service_pb2 as pb

THRESHOLDS_MAX = 20
ZERO = Decimal(0)


def parse_alert(request: pb.CreateAlertRequest, now: datetime) -> Alert:
    """Read the alert that is created at `now`.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault, below "alert".
    """
    if not request.HasField("alert"):
        raise FieldInvalid("alert", "is missing")
    message = request.alert
    faults = Faults()
    measure = ""
    thresholds: tuple[Threshold, ...] = ()
    direction, step = AlertDirection.RISING, None
    with faults.gathered():
        parse_text(message.subscription_id, "alert.subscription_id")
    with faults.gathered():
        parse_code(message.code, "alert.code")
    with faults.gathered():
        parse_text(message.name, "alert.name", required=False)
    with faults.gathered():
        measure = parse_enum(
            message.measure, pb.AlertMeasure, "alert.measure", prefix="ALERT_MEASURE_"
        )
        _check_meter(measure, message.meter_code)
    with faults.gathered():
        direction = _parse_direction(message)
    with faults.gathered():
        thresholds = _parse_thresholds(message.thresholds)
    with faults.gathered():
        step = _parse_step(message)
    faults.check()
    return Alert(
        alert_id=uuid4(),
        subscription_id=message.subscription_id,
        code=message.code,
        name=message.name or message.code,
        measure=AlertMeasure(measure),
        meter_code=message.meter_code,
        direction=direction,
        thresholds=thresholds,
        repeating_step=step,
        created_at=now,
    )


def _check_meter(measure: str, meter_code: str) -> None:
    if measure != AlertMeasure.CURRENT_AMOUNT:
        parse_code(meter_code, "alert.meter_code")
    elif meter_code:
        raise FieldInvalid("alert.meter_code", "CURRENT_AMOUNT is of all meters")


def _parse_direction(message: pb.Alert) -> AlertDirection:
    if not message.direction:
        return AlertDirection.RISING
    name = parse_enum(
        message.direction, pb.AlertDirection, "alert.direction", prefix="ALERT_DIRECTION_"
    )
    return AlertDirection(name)


def _parse_thresholds(messages: Sequence[pb.AlertThreshold]) -> tuple[Threshold, ...]:
    """Read thresholds; return them by value."""
    path = "alert.thresholds"
    if not 1 <= len(messages) <= THRESHOLDS_MAX:
        raise FieldInvalid(path, f"are {len(messages)}, 1 to {THRESHOLDS_MAX} are allowed")
    faults = Faults()
    found: list[Threshold] = []
    for place, one in enumerate(messages):
        with faults.gathered():
            parse_code(one.code, f"{path}[{place}].code")
        with faults.gathered():
            value = parse_decimal(one.value, f"{path}[{place}].value", above=ZERO)
            if any(value == other.value for other in found):
                raise FieldInvalid(f"{path}[{place}].value", f"{one.value} is there twice")
            found.append(Threshold(one.code, value))
    for fault in repeats([one.code for one in messages], path + "[{}].code"):
        faults.add(fault.field, fault.problem)
    faults.check()
    return tuple(sorted(found, key=lambda one: one.value))


def _parse_step(message: pb.Alert) -> Decimal | None:
    if not message.repeating_step:
        return None
    if message.direction == pb.AlertDirection.ALERT_DIRECTION_FALLING:
        raise FieldInvalid("alert.repeating_step", "is of RISING alone")
    return parse_decimal(message.repeating_step, "alert.repeating_step", above=ZERO)
