"""A good request of every public method."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.contract.bad_input.billing import billing_requests
from tests.contract.bad_input.columns import good_columns
from tests.contract.bad_input.coupons import coupon_requests
from tests.contract.bad_input.invoicing import credit_note_requests
from tests.contract.bad_input.paying import payment_requests
from tests.contract.bad_input.wallet_requests import USD as USD
from tests.contract.bad_input.wallet_requests import wallet_requests
from tests.contract.bad_input.webhooks import webhook_requests

World = dict[str, str]  # Ids and codes of one tenant's things, by what they are.

VERSION: dict[str, Any] = {
    "interval_unit": "INTERVAL_UNIT_MONTH",
    "interval_count": 1,
    "base_amount": "99",
    "base_timing": "TIMING_IN_ADVANCE",
    "usage_thresholds": {"amounts": ["0.5"], "step": "1000000000"},
    "charges": [
        {
            "code": "standard",
            "meter_code": "",
            "price": {"standard": {"unit_amount": "0.01"}},
            "buckets": [
                {
                    "code": "eu",
                    "filters": [{"key": "region", "values": ["eu"]}],
                    "price": {"standard": {"unit_amount": "0.02"}},
                }
            ],
        },
        {
            "code": "package",
            "meter_code": "",
            "price": {"package": {"amount": "5", "package_size": "100", "free_units": "10"}},
        },
        {
            "code": "graduated",
            "meter_code": "",
            "price": {
                "graduated": {
                    "tiers": [
                        {"up_to": "10", "unit_amount": "1", "flat_amount": "2"},
                        {"up_to": "20", "unit_amount": "0.5"},
                        {"unit_amount": "0.1"},
                    ]
                }
            },
        },
        {
            "code": "volume",
            "meter_code": "",
            "price": {"volume": {"tiers": [{"unit_amount": "1"}]}},
        },
        {
            "code": "percentage",
            "meter_code": "",
            "price": {"percentage": {"rate_percent": "1.5", "event_maximum": "5"}},
            "minimum_amount": "1",
            "maximum_amount": "99",
            "group_by": ["region"],
        },
        {
            "code": "rates",
            "meter_code": "",
            "price": {
                "graduated_percentage": {"tiers": [{"up_to": "10", "rate_percent": "1"}, {}]}
            },
            "conversion": {"divisor": "1000", "rounding": "CONVERSION_ROUNDING_UP"},
        },
        {"code": "dynamic", "meter_code": "", "price": {"dynamic": {}}},
        {
            "code": "custom",
            "meter_code": "",
            "price": {"custom": {"expression": "units * 2 + if(dimensions.region = 'eu', 1, 0)"}},
        },
        {
            "code": "instant",
            "meter_code": "",
            "price": {"standard": {"unit_amount": "1"}},
            "pay_in_advance": True,
            "settle": "SETTLE_AMOUNT",
            "settle_amount": "1000",
        },
        {
            "code": "apart",
            "meter_code": "",
            "price": {"standard": {"unit_amount": "1"}},
            "pay_in_advance": True,
            "not_invoiced": True,
        },
    ],
    "fixed_charges": [
        {
            "code": "seats",
            "price": {"standard": {"unit_amount": "10"}},
            "units": "5",
            "timing": "TIMING_IN_ADVANCE",
            "prorated": True,
        },
        {
            "code": "lines",
            "price": {"volume": {"tiers": [{"unit_amount": "1"}]}},
            "units": "0",
            "timing": "TIMING_IN_ARREARS",
        },
    ],
}
OVERRIDES: dict[str, Any] = {
    "base_amount": "98",
    "usage_thresholds": {"amounts": ["0.6"], "step": "1000000000"},
    "charges": [
        {
            "code": "standard",
            "price": {"standard": {"unit_amount": "0.02"}},
            "buckets": [{"code": "eu", "price": {"standard": {"unit_amount": "0.03"}}}],
        },
        {"code": "package", "price": {"package": {"amount": "4", "package_size": "100"}}},
    ],
    "fixed_charges": [{"code": "seats", "units": "4"}],
}
ADDRESS = {"lines": ["1 Main St"], "city": "Melbourne", "country_code": "AU"}


def version(world: World) -> dict[str, Any]:
    """The plan version above, on the world's meter."""
    charges = [{**charge, "meter_code": world["meter"]} for charge in VERSION["charges"]]
    return {**VERSION, "charges": charges}


def good_requests(world: World) -> dict[str, dict[str, Any]]:
    """The fields of a good request by method, each with codes and ids not used before."""
    fresh = f"new-{uuid4()}"
    command = {"request_id": str(uuid4())}
    event = {"id": fresh, "type": "calls", "customer_id": "acme"}
    meter = {
        "code": fresh,
        "aggregation": "AGGREGATION_SUM",
        "value_property": "value",
        "dimensions": [{"key": "region", "values": ["eu", "us"]}],
        "rounding": {"mode": "ROUNDING_MODE_CEIL", "places": 2},
    }
    plan = {"code": fresh, "name": "New", "currency_code": "USD"}
    subscription = {
        "subscription_id": fresh,
        "customer_id": "new",
        "plan_code": world["plan"],
        "anchor_day": {"year": 2024, "month": 1, "day": 31},
    }
    customer = {"customer_id": fresh, "address": ADDRESS}
    of_subscription = {"subscription_id": world["subscription"]}
    return {
        "ingest.v1.IngestService.RecordEvents": {"events": [event]},
        "ingest.v1.IngestService.RecordColumns": {"columns": good_columns(fresh)},
        "ingest.v1.IngestService.AmendEvent": {
            **command,
            "event": {**event, "id": world["event"], "customer_id": world["customer"]},
        },
        "ingest.v1.IngestService.RetractEvent": {**command, "id": world["retracted"]},
        "ingest.v1.IngestService.ResubmitRejected": {
            "resubmissions": [{"rejected_event_id": world["rejected"], "event": event}],
        },
        "ingest.v1.IngestService.GetEvent": {"id": world["event"]},
        "ingest.v1.IngestService.ListEvents": {},
        "ingest.v1.IngestService.ListRejectedEvents": {},
        "ingest.v1.IngestService.GetHeads": {},
        "rating.v1.MeterService.CreateMeter": {**command, "meter": meter},
        "rating.v1.MeterService.UpdateMeter": {
            **command,
            "meter": {
                **{name: meter[name] for name in ("aggregation", "value_property", "dimensions")},
                "code": world["meter"],
                "name": fresh,
            },
        },
        "rating.v1.MeterService.ArchiveMeter": {**command, "code": world["idle_meter"]},
        "rating.v1.PlanService.ArchivePlan": {**command, "code": world["idle_plan"]},
        "rating.v1.MeterService.GetMeter": {"code": world["meter"]},
        "rating.v1.MeterService.ListMeters": {},
        "rating.v1.MeterService.EvaluateExpression": {"expression": "1 + event.properties.v"},
        "rating.v1.PlanService.CreatePlan": {**command, "plan": plan, "version": version(world)},
        "rating.v1.PlanService.CreatePlanVersion": {
            **command,
            "plan_code": world["plan"],
            "version": version(world),
        },
        "rating.v1.PlanService.GetPlan": {"code": world["plan"]},
        "rating.v1.PlanService.ListPlans": {},
        "rating.v1.PlanService.PreviewPrice": {
            "charge": version(world)["charges"][0],
            "currency_code": "USD",
            "events": [{"properties": {"value": {"decimal": "2"}}}],
        },
        "rating.v1.SubscriptionService.CreateSubscription": {
            **command,
            "subscription": subscription,
            "overrides": OVERRIDES,
        },
        "rating.v1.SubscriptionService.GetSubscription": of_subscription,
        "rating.v1.SubscriptionService.ListSubscriptions": {},
        "rating.v1.SubscriptionService.TerminateSubscription": {
            **command,
            "subscription_id": world["ending"],
        },
        "rating.v1.SubscriptionService.ChangePlan": {
            **command,
            **of_subscription,
            "plan_code": world["plan"],
        },
        "rating.v1.SubscriptionService.CancelPlanChange": {**command, **of_subscription},
        "rating.v1.SubscriptionService.PauseSubscription": {
            **command,
            "subscription_id": world["ending"],
        },
        "rating.v1.SubscriptionService.ResumeSubscription": {
            **command,
            "subscription_id": world["ending"],
        },
        "rating.v1.SubscriptionService.UpdateSubscription": {
            **command,
            **of_subscription,
            "metadata": {"entries": {"team": "one"}},
        },
        "rating.v1.SubscriptionService.UpdateFixedUnits": {
            **command,
            **of_subscription,
            "fixed_charge_code": "seats",
            "units": "6",
            "effective": "UNITS_EFFECTIVE_NOW",
        },
        "rating.v1.RatingService.ListThresholdCrossings": {},
        "rating.v1.RatingService.GetThresholdCrossing": {
            "crossing_id": world["threshold_crossing"]
        },
        "rating.v1.SubscriptionService.UpdateOverrides": {
            **command,
            **of_subscription,
            "overrides": OVERRIDES,
        },
        "rating.v1.SubscriptionService.ListBillingPeriods": of_subscription,
        "rating.v1.UsageService.GetUsage": of_subscription,
        "rating.v1.UsageService.WatchUsage": of_subscription,
        "rating.v1.UsageService.QueryUsage": {
            **of_subscription,
            "meter_code": world["meter"],
            "start": {"seconds": 1_767_225_600},
            "end": {"seconds": 1_767_225_600 + 35 * 86_400},
            "window": "USAGE_WINDOW_HOUR",
            "group_by": ["region"],
            "filters": [{"key": "region", "values": ["eu"]}],
        },
        "rating.v1.UsageService.EstimateEvents": {"events": [event]},
        "rating.v1.UsageService.ListUnattributed": {},
        "rating.v1.UsageService.ListAmbiguous": {},
        "rating.v1.UsageService.ExplainEvent": {"id": world["event"]},
        **entitling(world, fresh),
        "rating.v1.RatingService.FollowUsage": {"customer_id": "followed"},
        "rating.v1.RatingService.RatePeriod": {"period_id": world["period"]},
        "rating.v1.RatingService.ClosePeriod": {"period_id": world["period"]},
        "rating.v1.RatingService.ClosePeriods": {"period_ids": [world["period"]]},
        "rating.v1.RatingService.CloseAdjustment": {"period_id": world["period"], "sequence": 1},
        "rating.v1.RatingService.ListInstantFees": {},
        "rating.v1.RatingService.SetInstantFeePayment": {
            **command,
            "fee_id": world["instant_fee"],
            "payment_status": "PAYMENT_STATUS_FAILED",
        },
        "rating.v1.RatingService.ExplainFee": {
            "period_id": world["period"],
            "charge_code": world["meter"],
        },
        "rating.v1.RatingService.ListCloses": {"period_ids": [world["period"]]},
        "invoicing.v1.TenantService.CreateBillingEntity": {
            **command,
            "billing_entity": {"code": fresh, "number_prefix": fresh[4:12].upper()},
        },
        "invoicing.v1.TenantService.ListBillingEntities": {},
        "invoicing.v1.TenantService.GetBillingEntity": {},
        "invoicing.v1.TenantService.UpdateBillingEntity": {
            **command,
            "billing_entity": {"name": "Seller", "address": ADDRESS},
        },
        "invoicing.v1.CustomerService.UpsertCustomer": {**command, "customer": customer},
        "invoicing.v1.CustomerService.GetCustomer": {"customer_id": world["customer"]},
        "invoicing.v1.CustomerService.ListCustomers": {},
        "invoicing.v1.TaxService.CreateTax": {
            **command,
            "tax": {"code": fresh, "name": "Tax", "rate_percent": "10"},
        },
        "invoicing.v1.TaxService.ListTaxes": {},
        "invoicing.v1.InvoiceService.GetInvoice": {"invoice_id": world["invoice"]},
        "invoicing.v1.InvoiceService.ListInvoices": {},
        "invoicing.v1.InvoiceService.ListFoldedLines": {
            "invoice_id": world["invoice"],
            "line_id": world["line"],
        },
        "invoicing.v1.InvoiceService.RenderInvoice": {"invoice_id": world["invoice"]},
        **billing_requests(world, command),
        **coupon_requests(world, command, fresh),
        **payment_requests(world, command),
        **webhook_requests(world, command),
        **credit_note_requests(world, command),
        **wallet_requests(world, command),
    }


def entitling(world: World, fresh: str) -> dict[str, dict[str, Any]]:
    """The fields of good requests about features, entitlements and alerts."""
    command = {"request_id": str(uuid4())}
    of_subscription = {"subscription_id": world["subscription"]}
    given = {
        "feature_code": world["feature"],
        "privileges": [
            {"privilege_code": "seats", "integer": 5},
            {"privilege_code": "support", "text": "phone"},
        ],
        "limit": {
            "units": "1000",
            "kind": "LIMIT_KIND_HARD",
            "reset": "LIMIT_RESET_MONTH",
            "rollover": {"minimum": "1", "maximum": "10"},
        },
    }
    feature = {
        "code": fresh,
        "privileges": [
            {"code": "seats", "type": "PRIVILEGE_TYPE_INTEGER"},
            {"code": "support", "type": "PRIVILEGE_TYPE_SELECT", "options": ["mail", "phone"]},
        ],
        "meter_code": world["meter"],
    }
    alert = {
        **of_subscription,
        "code": fresh,
        "measure": "ALERT_MEASURE_UNITS",
        "meter_code": world["meter"],
        "thresholds": [{"code": "t80", "value": "80"}, {"code": "t100", "value": "100"}],
        "repeating_step": "10",
    }
    service = "rating.v1.EntitlementService"
    return {
        f"{service}.CreateFeature": {**command, "feature": feature},
        f"{service}.GetFeature": {"code": world["feature"]},
        f"{service}.ListFeatures": {},
        f"{service}.ArchiveFeature": {**command, "code": world["idle_feature"]},
        f"{service}.SetPlanEntitlements": {
            **command,
            "plan_code": world["plan"],
            "entitlements": [given],
        },
        f"{service}.GetPlanEntitlements": {"plan_code": world["plan"]},
        f"{service}.SetSubscriptionEntitlements": {
            **command,
            **of_subscription,
            "overrides": [given],
        },
        f"{service}.GetSubscriptionEntitlements": of_subscription,
        f"{service}.CheckEntitlement": {
            "subject": of_subscription,
            "feature_code": world["feature"],
        },
        f"{service}.CheckEntitlements": {
            "subjects": [of_subscription],
            "feature_codes": [world["feature"]],
        },
        "rating.v1.AlertService.CreateAlert": {**command, "alert": alert},
        "rating.v1.AlertService.GetAlert": {"alert_id": world["alert"]},
        "rating.v1.AlertService.ListAlerts": {},
        "rating.v1.AlertService.DeleteAlert": {**command, "alert_id": world["deleted_alert"]},
    }
