"""What rating refuses of subscriptions, by request and field."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.bad_input.plans import VERSION
from tests.contract.bad_input.rules import (
    ABSENT,
    CHECK_ONLY,
    CODE,
    INSTANT,
    LONG,
    NOT_FOUND,
    OPTIONAL_CODE,
    OPTIONAL_PRICE,
    OPTIONAL_TEXT,
    OUTPUT,
    PAGE,
    PRICE,
    TEXT,
    UUID,
    ZONE,
    AnyValue,
    Fields,
    Refusal,
    Rule,
    enum,
    named,
)

OF_PRICES = AnyValue("read by the parser that CreatePlan has rows for")
OVERRIDES: Fields = {
    **{
        path.replace("version.", "overrides.", 1): OF_PRICES
        for path in VERSION
        if path.startswith("version.charges[") and ".price." in path
    },
    "overrides": {"oversized": {"charges": [{"code": "a" * 1_048_576}]}},
    "overrides.base_amount": {**OPTIONAL_PRICE, "above": "10000000000000.01"},
    "overrides.minimum_commitment": {**OPTIONAL_PRICE, "above": "10000000000000.01"},
    "overrides.trial_days": {"oversized": 3_651, "negative": -1},
    "overrides.usage_thresholds": AnyValue("without amounts and step: none"),
    "overrides.usage_thresholds.amounts": {
        "descending": Refusal(["2", "2"], field="overrides.usage_thresholds.amounts[1]"),
        "oversized": [str(n) for n in range(1, 102)],
    },
    "overrides.usage_thresholds.step": {**OPTIONAL_PRICE, "zero": "0"},
    "overrides.charges": {"oversized": Refusal([{}] * 201)},
    "overrides.charges[0].code": {
        **CODE,
        "unknown": "other",
        "twice": Refusal("package", field="overrides.charges[1].code"),
    },
    "overrides.charges[0].price.standard.unit_amount": PRICE,
    "overrides.charges[0].price": {
        "of an unknown dimension": Refusal(
            {"custom": {"expression": "units * dimensions.colour"}},
            field="overrides.charges[0].price.custom.expression",
        ),
    },
    "overrides.charges[0].buckets": {"oversized": [{}] * 101},
    "overrides.charges[0].buckets[0].code": {**CODE, "unknown": "us"},
    "overrides.charges[0].buckets[0].price": ABSENT,
    "overrides.charges[0].buckets[0].price.standard.unit_amount": PRICE,
    "overrides.fixed_charges": {"oversized": Refusal([{}] * 101)},
    "overrides.fixed_charges[0].code": {**CODE, "unknown": "other"},
    "overrides.fixed_charges[0].price": {
        "of usage": Refusal({"dynamic": {}}, field="overrides.fixed_charges[0].price.dynamic"),
    },
    "overrides.fixed_charges[0].units": {**OPTIONAL_PRICE, "too many": "1e25"},
}


ETAG: Rule = {**OPTIONAL_TEXT, "other": Refusal("0", "ABORTED", "ETAG_MISMATCH", "")}
METADATA: Rule = {
    "too many": {str(number): "" for number in range(51)},
    "malformed": {"": "x"},
    "oversized key": {"k" * 65: "x"},
    "oversized": {"k": "x" * 501},
}
CHANGED: Fields = {
    "request_id": UUID,
    "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
    "etag": ETAG,
}
OF_PHASES = AnyValue("the rows of phases say")
A_PHASE = {"plan_code": "pro", "start": {"seconds": 4_000_000_000}}

SUBSCRIPTIONS: Mapping[str, Fields] = {
    "tally.rating.v1.SubscriptionService.CreateSubscription": {
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "backfill": {"unknown": 99},
        "subscription": ABSENT,
        "subscription.billed_from": OUTPUT,
        "subscription.subscription_uid": OUTPUT,
        "subscription.status": OUTPUT,
        "subscription.currency_code": OUTPUT,
        "subscription.created_at": OUTPUT,
        "subscription.subscription_id": TEXT,
        "subscription.customer_id": TEXT,
        "subscription.plan_code": named(CODE, "plan", "PLAN_NOT_FOUND"),
        "subscription.plan_version": {
            "negative": -1,
            "unknown": Refusal(99, NOT_FOUND, "PLAN_VERSION_NOT_FOUND", ""),
        },
        "subscription.start": INSTANT,
        "subscription.end": {**INSTANT, "before start": {"seconds": 1}},
        "subscription.time_zone": ZONE,
        "subscription.default_for_usage": AnyValue("yes or no"),
        "subscription.collection_delay_s": {"negative": -1, "oversized": 40 * 86_400},
        "subscription.billing_time": {"unknown": 99},
        "subscription.anchor_day": AnyValue("absent: the day of the start"),
        "subscription.anchor_day.year": {"too early": 1899, "too late": 9001},
        "subscription.anchor_day.month": {"malformed": 13},
        "subscription.anchor_day.day": {"malformed": 32, "zero": 0},
        "subscription.etag": OUTPUT,
        "subscription.unused_fee": OUTPUT,
        "subscription.final_invoice": OUTPUT,
        "subscription.metadata": METADATA,
        "subscription.billing_entity_code": OPTIONAL_CODE,
        "phases": {
            "oversized": Refusal([{}] * 101),
            "without a plan": Refusal([{"start": {"seconds": 1}}], field="phases[0].plan_code"),
            "without a start": Refusal([{"plan_code": "pro"}], field="phases[0].start"),
            "negative": Refusal([{**A_PHASE, "plan_version": -1}], field="phases[0].plan_version"),
            "overlapping": Refusal([A_PHASE, A_PHASE], field="phases[1].start"),
            "before the start": Refusal([{"plan_code": "pro", "start": {"seconds": 1}}], field="*"),
        },
        "phases[0].plan_code": OF_PHASES,
        "phases[0].plan_version": OF_PHASES,
        "phases[0].start": OF_PHASES,
        **OVERRIDES,
        "historical_usage": OPTIONAL_PRICE,
    },
    "tally.rating.v1.SubscriptionService.UpdateOverrides": {
        "request_id": UUID,
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        "etag": {"stale": Refusal("999999", "ABORTED", "ETAG_MISMATCH", ""), "oversized": LONG},
        **OVERRIDES,
    },
    "tally.rating.v1.SubscriptionService.GetSubscription": {
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
    },
    "tally.rating.v1.SubscriptionService.ListSubscriptions": {
        "customer_id": {"oversized": LONG},
        **PAGE,
    },
    "tally.rating.v1.SubscriptionService.TerminateSubscription": {
        "request_id": UUID,
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        "end": {**INSTANT, "past": {"seconds": 1}},
        "when": {"unknown": 99, "without an end": Refusal("TERMINATION_TIME_AT", field="end")},
        "final_invoice": {"unknown": 99},
        "unused_fee": {"unknown": 99},
        "etag": ETAG,
    },
    "tally.rating.v1.SubscriptionService.ChangePlan": {
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        "plan_code": named(CODE, "plan", "PLAN_NOT_FOUND"),
        "plan_version": {
            "negative": -1,
            "unknown": Refusal(99, NOT_FOUND, "PLAN_VERSION_NOT_FOUND", ""),
        },
        "effective": {"unknown": 99, "without at": Refusal("PLAN_EFFECTIVE_AT", field="at")},
        "at": {**INSTANT, "without AT": {"seconds": 1}},
        "etag": ETAG,
    },
    "tally.rating.v1.SubscriptionService.CancelPlanChange": CHANGED,
    "tally.rating.v1.SubscriptionService.PauseSubscription": {
        **CHANGED,
        "resume_at": {**INSTANT, "past": {"seconds": 1}},
    },
    "tally.rating.v1.SubscriptionService.ResumeSubscription": CHANGED,
    "tally.rating.v1.SubscriptionService.UpdateSubscription": {
        **CHANGED,
        "time_zone": ZONE,
        "default_for_usage": AnyValue("yes or no"),
        "metadata": AnyValue("absent: it stays"),
        "metadata.entries": METADATA,
    },
    "tally.rating.v1.SubscriptionService.UpdateFixedUnits": {
        "request_id": UUID,
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        "fixed_charge_code": {
            **CODE,
            "unknown": Refusal("chairs", NOT_FOUND, "FIXED_CHARGE_NOT_FOUND", ""),
        },
        "units": {**PRICE, "above": "10000000000.01"},
        "effective": enum(),
        "etag": ETAG,
    },
    "tally.rating.v1.SubscriptionService.ListBillingPeriods": {
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        **PAGE,
    },
}
