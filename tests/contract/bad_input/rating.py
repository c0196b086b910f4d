"""What rating refuses, by request and field."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.bad_input.plans import VERSION
from tests.contract.bad_input.rules import (
    ABSENT,
    CHECK_ONLY,
    CODE,
    CURRENCY,
    FAILED,
    INSTANT,
    LONG,
    NOT_FOUND,
    OPTIONAL_CODE,
    OPTIONAL_TEXT,
    OUTPUT,
    PAGE,
    TEXT,
    UUID,
    ZONE,
    AnyValue,
    Fields,
    Refusal,
    enum,
    named,
    uuid_of,
    uuids,
)

SHOWN_OR_NOT = AnyValue("archived ones are shown, or not")
ACK_TOKEN: Mapping[str, object] = {
    "malformed": "%%%",
    "oversized": "MDox" * 20,
    "of no place": "eDp5",  # x:y
    "of no segment": "MDo5OTk5OTk5",  # 0:9999999
    "of no shard": "NzoxMjM",  # 7:123
}

RATING: Mapping[str, Fields] = {
    "tally.rating.v1.MeterService.CreateMeter": {
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "meter": {**ABSENT, "oversized": {"dimensions": [{"values": ["a" * 262_144]}]}},
        "meter.meter_id": OUTPUT,
        "meter.created_at": OUTPUT,
        "meter.archived_at": OUTPUT,
        "meter.changed_at": OUTPUT,
        "meter.fan_out": AnyValue("events may count for one or for all"),
        "meter.code": CODE,
        "meter.name": OPTIONAL_TEXT,
        "meter.event_type": OPTIONAL_TEXT,
        "meter.aggregation": enum(),
        "meter.value_property": {"absent": "", "oversized": "k" * 65},
        "meter.dimensions": {"oversized": [{"key": f"d{n}"} for n in range(9)]},
        "meter.dimensions[0].key": {"absent": "", "oversized": "k" * 65},
        "meter.dimensions[0].values": {"oversized": Refusal(["x" * 1_025], field="*")},
        "meter.expression": {
            "malformed": Refusal("event.properties.v +", field="*"),
            "oversized": Refusal("1" * 16_001, field="*"),
            "beside a property": Refusal("1 + 1", field="meter.value_property"),
        },
        "meter.rounding.mode": enum(),
        "meter.rounding.places": {"oversized": 31, "negative": -31},
        "meter.value_input": {"malformed": 99, "of a sum": 1},
        "meter.percentile": {"negative": -1, "of a sum": 50},
        "meter.recurring": AnyValue("a sum may carry over"),
        "meter.day_bucket": {"malformed": 99},
    },
    "tally.rating.v1.MeterService.EvaluateExpression": {
        "expression": {
            "absent": "",
            "malformed": "event.properties.v +",
            "oversized": "1" * 4_001,
        },
        "event_type": {"oversized": LONG},
        "time": {"malformed": {"nanos": 1}, "oversized": {"seconds": 2**60}},
        "properties": {
            "oversized": {f"p{n}": {"flag": True} for n in range(65)},
            "key empty": {"": {"flag": True}},
            "key oversized": {"k" * 65: {"flag": True}},
            "value oversized": Refusal({"k": {"text": "x" * 1_025}}, field="properties.k"),
            "value absent": Refusal({"k": {}}, field="properties.k"),
            "value malformed": Refusal({"k": {"decimal": "1,5"}}, field="properties.k"),
        },
    },
    "tally.rating.v1.MeterService.GetMeter": {"code": named(CODE, "meter", "METER_NOT_FOUND")},
    "tally.rating.v1.MeterService.ListMeters": {**PAGE, "include_archived": SHOWN_OR_NOT},
    "tally.rating.v1.PlanService.CreatePlan": {
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "plan": ABSENT,
        "plan.plan_id": OUTPUT,
        "plan.created_at": OUTPUT,
        "plan.archived_at": OUTPUT,
        "plan.code": CODE,
        "plan.name": OPTIONAL_TEXT,
        "plan.currency_code": CURRENCY,
        **VERSION,
    },
    "tally.rating.v1.PlanService.CreatePlanVersion": {
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "plan_code": named(CODE, "plan", "PLAN_NOT_FOUND"),
        **VERSION,
    },
    "tally.rating.v1.PlanService.GetPlan": {
        "code": named(CODE, "plan", "PLAN_NOT_FOUND"),
        "version": {
            "negative": -1,
            "unknown": Refusal(99, NOT_FOUND, "PLAN_VERSION_NOT_FOUND", ""),
        },
    },
    "tally.rating.v1.PlanService.ListPlans": {**PAGE, "include_archived": SHOWN_OR_NOT},
    "tally.rating.v1.RatingService.ListThresholdCrossings": {
        "subscription_id": {"malformed": "a\x00b", "oversized": LONG},
        **PAGE,
    },
    "tally.rating.v1.RatingService.GetThresholdCrossing": {
        "crossing_id": uuid_of("threshold_crossing", "THRESHOLD_CROSSING_NOT_FOUND"),
    },
    "tally.rating.v1.UsageService.GetUsage": {
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        "at": {**INSTANT, "outside": Refusal({"seconds": 1}, NOT_FOUND, "PERIOD_NOT_FOUND", "")},
        "ack_token": ACK_TOKEN,
        "as_of": {
            **INSTANT,
            "outside": Refusal({"seconds": 1}, NOT_FOUND, "PERIOD_NOT_FOUND", ""),
        },
    },
    "tally.rating.v1.UsageService.QueryUsage": {
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        "meter_code": named(CODE, "meter", "METER_NOT_FOUND"),
        "start": {**INSTANT, "absent": None},
        "end": {
            **INSTANT,
            "absent": None,
            "before start": {"seconds": 1},
            "too late": {"seconds": 4_000_000_000},
        },
        "window": enum(),
        "group_by": {
            "absent": Refusal([""], field="group_by[0]"),
            "malformed": Refusal(["a", "b\x00"], field="group_by[1]"),
            "oversized": [f"k{n}" for n in range(9)],
            "too long": Refusal(["k" * 65], field="group_by[0]"),
            "twice": Refusal(["a", "a"], field="group_by[1]"),
        },
        "filters": {"oversized": [{"key": f"k{n}", "values": ["v"]} for n in range(9)]},
        "filters[0].key": {"absent": "", "malformed": "\x00", "oversized": "k" * 65},
        "filters[0].values": {
            "absent": None,
            "oversized": [f"v{n}" for n in range(1_001)],
            "malformed": Refusal(["v\x00"], field="filters[0].values[0]"),
            "too long": Refusal(["v" * 1_025], field="filters[0].values[0]"),
            "not alone": ["*", "v"],
        },
        "time_zone": ZONE,
        "ack_token": ACK_TOKEN,
    },
    "tally.rating.v1.UsageService.ListUnattributed": {"customer_id": {"oversized": LONG}, **PAGE},
    "tally.rating.v1.UsageService.ListAmbiguous": {"customer_id": {"oversized": LONG}, **PAGE},
    "tally.rating.v1.UsageService.ExplainEvent": {
        "source": {"oversized": LONG},
        "id": named(TEXT, "event", "EVENT_NOT_FOUND"),
    },
    "tally.rating.v1.RatingService.FollowUsage": {"customer_id": TEXT},
    "tally.rating.v1.RatingService.RatePeriod": {
        "period_id": uuid_of("period", "PERIOD_NOT_FOUND"),
    },
    "tally.rating.v1.RatingService.ClosePeriod": {
        "period_id": uuid_of("period", "PERIOD_NOT_FOUND"),
    },
    "tally.rating.v1.RatingService.ClosePeriods": {"period_ids": uuids("period_ids")},
    "tally.rating.v1.RatingService.CloseAdjustment": {
        "period_id": uuid_of("period", "PERIOD_NOT_FOUND"),
        "sequence": {
            "absent": 0,
            "negative": -1,
            "oversized": Refusal(99, FAILED, "ADJUSTMENT_OUT_OF_ORDER", ""),
        },
    },
    "tally.rating.v1.RatingService.ListInstantFees": {
        "subscription_id": {"oversized": LONG},
        "charge_code": OPTIONAL_CODE,
        "payment_status": {"malformed": 99},
        **PAGE,
    },
    "tally.rating.v1.RatingService.SetInstantFeePayment": {
        "request_id": UUID,
        "fee_id": uuid_of("instant_fee", "INSTANT_FEE_NOT_FOUND"),
        "payment_status": enum(),
    },
    "tally.rating.v1.RatingService.ListCloses": {"period_ids": uuids("period_ids"), **PAGE},
}
