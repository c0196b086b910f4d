"""What rating refuses when meters and plans are changed or archived."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.bad_input.rating import RATING
from tests.contract.bad_input.rules import (
    CHECK_ONLY,
    CODE,
    FAILED,
    NOT_FOUND,
    UUID,
    AnyValue,
    Fields,
    Foreign,
    Refusal,
    enum,
    named,
)

CREATED_METER = RATING["tally.rating.v1.MeterService.CreateMeter"]
IN_USE = {"reason": "METER_IN_USE", "code": FAILED, "field": ""}
SAME_PARSER = AnyValue("read by the parser that CreateMeter has rows for")

CHANGING: Mapping[str, Fields] = {
    "tally.rating.v1.MeterService.UpdateMeter": {
        **{path: SAME_PARSER for path in CREATED_METER},
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "meter": CREATED_METER["meter"],
        "meter.code": {
            **CODE,
            "foreign": Refusal(Foreign("meter"), NOT_FOUND, "METER_NOT_FOUND", ""),
        },
        "meter.event_type": {"other": Refusal("other", **IN_USE)},
        "meter.aggregation": {**enum(), "other": Refusal("AGGREGATION_MAX", **IN_USE)},
        "meter.value_property": {"other": Refusal("other", **IN_USE)},
        "meter.rounding.places": {
            "oversized": Refusal(31, field="meter.rounding.mode"),
        },
        "meter.recurring": {"other": Refusal(True, **IN_USE)},
        "meter.fan_out": {"other": Refusal(True, **IN_USE)},
        "meter.dimensions[0].values": {"fewer": Refusal(["eu"], **IN_USE)},
    },
    "tally.rating.v1.MeterService.ArchiveMeter": {
        "request_id": UUID,
        "code": named(CODE, "idle_meter", "METER_NOT_FOUND"),
    },
    "tally.rating.v1.PlanService.ArchivePlan": {
        "request_id": UUID,
        "code": named(CODE, "idle_plan", "PLAN_NOT_FOUND"),
    },
}
