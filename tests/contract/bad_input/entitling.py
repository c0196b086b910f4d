"""What rating refuses of features, entitlements and alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.contract.bad_input.rating import ACK_TOKEN, SHOWN_OR_NOT
from tests.contract.bad_input.rules import (
    ABSENT,
    CODE,
    FAILED,
    LONG,
    NOT_FOUND,
    OPTIONAL_PRICE,
    OPTIONAL_TEXT,
    OUTPUT,
    PAGE,
    PRICE,
    TEXT,
    UUID,
    AnyValue,
    Fields,
    Foreign,
    Refusal,
    enum,
    named,
    uuid_of,
)

FEATURE_CODE = named(CODE, "feature", "FEATURE_NOT_FOUND")
SUBSCRIPTION_ID = named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND")
POSITIVE = {**PRICE, "zero": "0"}


def given(path: str) -> dict[str, Any]:
    """The rows of what a plan or subscription is given, at `path`."""
    first = f"{path}[0]"
    wrong = Refusal(True, field=f"{first}.privileges[0]")
    return {
        path: {
            "oversized": [{"feature_code": f"f{n}"} for n in range(501)],
            "twice": Refusal([{"feature_code": "a"}] * 2, field=f"{path}[1].feature_code"),
        },
        f"{first}.feature_code": FEATURE_CODE,
        f"{first}.privileges": {"oversized": [{"privilege_code": f"p{n}"} for n in range(51)]},
        f"{first}.privileges[0].privilege_code": {
            **CODE,
            "unknown": Refusal("colour", field=f"{first}.privileges[0]"),
        },
        f"{first}.privileges[0].flag": {"of another type": wrong},
        f"{first}.privileges[1].integer": {
            "of another type": Refusal(1, field=f"{first}.privileges[1]")
        },
        f"{first}.privileges[0].decimal": {
            "malformed": "1,5",
            "of another type": Refusal("1", field=f"{first}.privileges[0]"),
        },
        f"{first}.privileges[1].text": {
            "malformed": "a\x00b",
            "oversized": "a" * 1_025,
            "none of the options": Refusal("fax", field=f"{first}.privileges[1]"),
        },
        f"{first}.limit.units": PRICE,
        f"{first}.limit.kind": enum(),
        f"{first}.limit.reset": enum(),
        f"{first}.limit.rollover.minimum": {
            **OPTIONAL_PRICE,
            "above the maximum": Refusal("11", field=f"{first}.limit.rollover.maximum"),
        },
        f"{first}.limit.rollover.maximum": PRICE,
    }


ENTITLING: Mapping[str, Fields] = {
    "tally.rating.v1.EntitlementService.CreateFeature": {
        "request_id": UUID,
        "feature": ABSENT,
        "feature.code": CODE,
        "feature.name": OPTIONAL_TEXT,
        "feature.created_at": OUTPUT,
        "feature.archived_at": OUTPUT,
        "feature.meter_code": {
            "malformed": "a b",
            "foreign": Refusal(Foreign("meter"), NOT_FOUND, "METER_NOT_FOUND", ""),
        },
        "feature.privileges": {"oversized": [{"code": f"p{n}", "type": 1} for n in range(51)]},
        "feature.privileges[0].code": {**CODE, "twice": Refusal("support", field="*")},
        "feature.privileges[0].name": OPTIONAL_TEXT,
        "feature.privileges[0].type": enum(),
        "feature.privileges[0].options": {"of an integer": ["one"]},
        "feature.privileges[1].options": {
            "absent": [],
            "oversized": [f"o{n}" for n in range(101)],
            "empty": Refusal([""], field="feature.privileges[1].options[0]"),
            "twice": Refusal(["a", "a"], field="feature.privileges[1].options[1]"),
        },
    },
    "tally.rating.v1.EntitlementService.GetFeature": {"code": FEATURE_CODE},
    "tally.rating.v1.EntitlementService.ListFeatures": {**PAGE, "include_archived": SHOWN_OR_NOT},
    "tally.rating.v1.EntitlementService.ArchiveFeature": {
        "request_id": UUID,
        "code": FEATURE_CODE,
    },
    "tally.rating.v1.EntitlementService.SetPlanEntitlements": {
        "request_id": UUID,
        "plan_code": named(CODE, "plan", "PLAN_NOT_FOUND"),
        **given("entitlements"),
    },
    "tally.rating.v1.EntitlementService.GetPlanEntitlements": {
        "plan_code": named(CODE, "plan", "PLAN_NOT_FOUND"),
    },
    "tally.rating.v1.EntitlementService.SetSubscriptionEntitlements": {
        "request_id": UUID,
        "subscription_id": SUBSCRIPTION_ID,
        **given("overrides"),
        "overrides[0].removed": {"with a limit": True},
        "overrides[0].unlimited": {"with a limit": True},
    },
    "tally.rating.v1.EntitlementService.GetSubscriptionEntitlements": {
        "subscription_id": SUBSCRIPTION_ID,
    },
    "tally.rating.v1.EntitlementService.CheckEntitlement": {
        "subject": ABSENT,
        "subject.customer_id": TEXT,
        "subject.subscription_id": TEXT,
        "feature_code": FEATURE_CODE,
        "wanted_units": OPTIONAL_PRICE,
        "ack_token": ACK_TOKEN,
    },
    "tally.rating.v1.EntitlementService.CheckEntitlements": {
        "subjects": {
            "absent": [],
            "oversized": [{"customer_id": "a"}] * 1_001,
            "nobody": Refusal([{}], field="subjects[0]"),
        },
        "subjects[0].customer_id": TEXT,
        "subjects[0].subscription_id": TEXT,
        "feature_codes": {
            "absent": [],
            "oversized": [f"f{n}" for n in range(501)],
            "malformed": Refusal(["a b"], field="feature_codes[0]"),
            "twice": Refusal(["a", "a"], field="feature_codes[1]"),
            "unknown": Refusal(["unknown"], NOT_FOUND, "FEATURE_NOT_FOUND", ""),
        },
        "wanted_units": OPTIONAL_PRICE,
        "omit_privileges": AnyValue("they are shown, or not"),
    },
    "tally.rating.v1.AlertService.CreateAlert": {
        "request_id": UUID,
        "alert": ABSENT,
        "alert.alert_id": OUTPUT,
        "alert.created_at": OUTPUT,
        "alert.subscription_id": SUBSCRIPTION_ID,
        "alert.code": CODE,
        "alert.name": OPTIONAL_TEXT,
        "alert.measure": {**enum(), "of all meters": Refusal(3, field="alert.meter_code")},
        "alert.meter_code": {
            **CODE,
            "foreign": Refusal(Foreign("meter"), NOT_FOUND, "METER_NOT_FOUND", ""),
            "not counted": Refusal("mine-idle_meter", FAILED, "METER_NOT_COUNTED", ""),
        },
        "alert.direction": {
            "malformed": 99,
            "with steps": Refusal(2, field="alert.repeating_step"),
        },
        "alert.thresholds": {
            "absent": [],
            "oversized": [{"code": f"t{n}", "value": f"{n + 1}"} for n in range(21)],
        },
        "alert.thresholds[0].code": {**CODE, "twice": Refusal("t100", field="*")},
        "alert.thresholds[0].value": {
            **POSITIVE,
            "twice": Refusal("100.0", field="alert.thresholds[1].value"),
        },
        "alert.repeating_step": {**OPTIONAL_PRICE, "zero": "0"},
    },
    "tally.rating.v1.AlertService.GetAlert": {"alert_id": uuid_of("alert", "ALERT_NOT_FOUND")},
    "tally.rating.v1.AlertService.ListAlerts": {**PAGE, "subscription_id": {"oversized": LONG}},
    "tally.rating.v1.AlertService.DeleteAlert": {
        "request_id": UUID,
        "alert_id": uuid_of("alert", "ALERT_NOT_FOUND"),
    },
}
