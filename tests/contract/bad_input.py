"""The table of bad input: what every field of every request must refuse, and how.

A rule names, for a kind of badness, the value that is put into an otherwise good request. Unless
it says otherwise the answer must be INVALID_ARGUMENT / FIELD_INVALID with the field's path.
`World` values are filled in by the test: things of the caller's tenant, and of another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

INVALID, NOT_FOUND = "INVALID_ARGUMENT", "NOT_FOUND"
FAILED = "FAILED_PRECONDITION"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A value that names a thing of another tenant: `key` of the other tenant's world."""

    key: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a value must be refused; `field` None: at its own path; "": no field is named."""

    value: object
    code: str = INVALID
    reason: str = "FIELD_INVALID"
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """How an event must be rejected while its request succeeds."""

    value: object
    reason: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Every value is good, for the reason given."""

    why: str


Rule = Mapping[str, object]
Fields = Mapping[str, Rule | AnyValue]

LONG = "a" * 256
UUID: Rule = {"absent": "", "malformed": "no-uuid", "oversized": "1" * 300}
CODE: Rule = {"absent": "", "malformed": "a b", "oversized": "a" * 129}
OPTIONAL_CODE: Rule = {"malformed": "a b", "oversized": "a" * 129}
TEXT: Rule = {"absent": "", "malformed": "a\x00b", "oversized": LONG}
OPTIONAL_TEXT: Rule = {"malformed": "a\x00b", "oversized": LONG}
PRICE: Rule = {"absent": "", "malformed": "1,5", "oversized": "1e40", "negative": "-1"}
OPTIONAL_PRICE: Rule = {"malformed": "NaN", "oversized": "1" * 65, "negative": "-0.01"}
CURRENCY: Rule = {"absent": "", "malformed": "usd", "unknown": "ZZZ", "oversized": "USDX"}
ZONE: Rule = {"malformed": "Mars/Base", "oversized": "a" * 300}
INSTANT: Rule = {"malformed": {"nanos": 1}, "oversized": {"seconds": 2**60}}
PAGE: Fields = {
    "page_size": {"malformed": -1, "oversized": 1_001},
    "page_token": {
        "malformed": Refusal("%%%", reason="PAGE_TOKEN_INVALID", field=""),
        "oversized": Refusal("a" * 5_000, reason="PAGE_TOKEN_INVALID", field=""),
    },
}
ABSENT: Rule = {"absent": None}
CHECK_ONLY = AnyValue("checks without storing")
OUTPUT = AnyValue("an answer's field: ignored in a request")


def enum(*, unknown: int = 99) -> Rule:
    """Refuse UNSPECIFIED and a number that names nothing."""
    return {"absent": 0, "malformed": unknown}


def missing(key: str, reason: str) -> Rule:
    """Refuse what exists only in another tenant."""
    return {"foreign": Refusal(Foreign(key), NOT_FOUND, reason, "")}


def uuid_of(key: str, reason: str) -> Rule:
    """A required UUID of a thing."""
    return {**UUID, **missing(key, reason)}


def named(rule: Rule, key: str, reason: str) -> Rule:
    """A required name of a thing."""
    return {**rule, **missing(key, reason)}


TIERS = "price.graduated.tiers"
ONE_TIER = "price.graduated.tiers[0]"
VERSION: Fields = {
    "version": ABSENT,
    "version.plan_version_id": OUTPUT,
    "version.version": OUTPUT,
    "version.created_at": OUTPUT,
    "version.interval_unit": enum(),
    "version.interval_count": {"oversized": 2, "negative": -1},
    "version.base_amount": OPTIONAL_PRICE,
    "version.base_timing": enum(),
    "version.charges": {"oversized": Refusal([{}] * 201)},
    "version.charges[0].code": OPTIONAL_CODE,
    "version.charges[0].meter_code": {
        "absent": "",
        "malformed": "a b",
        "oversized": "a" * 129,
        "foreign": Refusal(Foreign("meter"), reason="METER_UNKNOWN", field=""),
    },
    "version.charges[0].display_name": OPTIONAL_TEXT,
    "version.charges[0].price": ABSENT,
    "version.charges[0].price.standard.unit_amount": PRICE,
    "version.charges[0].buckets": {"oversized": Refusal([{}] * 101)},
    "version.charges[0].buckets[0].code": CODE,
    "version.charges[0].buckets[0].filters": ABSENT,
    "version.charges[0].buckets[0].filters[0].key": {"absent": "", "unknown": "colour"},
    "version.charges[0].buckets[0].filters[0].values": ABSENT,
    "version.charges[0].buckets[0].price": ABSENT,
    "version.charges[0].buckets[0].price.standard.unit_amount": PRICE,
    "version.charges[1].price.package.amount": PRICE,
    "version.charges[1].price.package.package_size": {**PRICE, "zero": "0"},
    "version.charges[1].price.package.free_units": OPTIONAL_PRICE,
    "version.charges[2].price.graduated.tiers": {"absent": None, "oversized": [{}] * 101},
    "version.charges[2].price.graduated.tiers[0].up_to": {
        "malformed": "x",
        "oversized": "1e40",
        "open": Refusal("", field=None),
        "descending": Refusal("999", field="version.charges[2].price.graduated.tiers[1].up_to"),
    },
    "version.charges[2].price.graduated.tiers[2].up_to": {"closed": "5000"},
    "version.charges[2].price.graduated.tiers[0].unit_amount": OPTIONAL_PRICE,
    "version.charges[2].price.graduated.tiers[0].flat_amount": OPTIONAL_PRICE,
    "version.charges[3].price.volume.tiers": {"absent": None, "oversized": [{}] * 101},
}

INGEST: Mapping[str, Fields] = {
    "tally.ingest.v1.IngestService.RecordEvents": {
        "events": {
            "absent": None,
            "oversized": Refusal([{}] * 10_001, reason="BATCH_TOO_LARGE", field=""),
        },
        "atomic": AnyValue("all or nothing, or each by itself"),
        "events[0].id": {
            "absent": Rejection("", "ID_MISSING"),
            "oversized": Rejection(LONG, "FIELD_TOO_LARGE"),
        },
        "events[0].source": {"oversized": Rejection(LONG, "FIELD_TOO_LARGE")},
        "events[0].type": {
            "absent": Rejection("", "TYPE_MISSING"),
            "oversized": Rejection(LONG, "FIELD_TOO_LARGE"),
        },
        "events[0].time": {
            "malformed": Rejection({"seconds": 1, "nanos": 1}, "TIME_INVALID"),
            "oversized": Rejection({"seconds": 2**60}, "TIME_INVALID"),
            "old": Rejection({"seconds": 1}, "TIME_TOO_OLD"),
            "new": Rejection({"seconds": 9_000_000_000}, "TIME_TOO_NEW"),
        },
        "events[0].customer_id": {
            "absent": Rejection("", "CUSTOMER_MISSING"),
            "oversized": Rejection(LONG, "FIELD_TOO_LARGE"),
        },
        "events[0].subscription_id": {"oversized": Rejection(LONG, "FIELD_TOO_LARGE")},
        "events[0].properties": {
            "oversized": Rejection(
                {f"p{n}": {"flag": True} for n in range(65)}, "PROPERTIES_TOO_MANY"
            ),
            "key empty": Rejection({"": {"flag": True}}, "PROPERTY_KEY_INVALID"),
            "key oversized": Rejection({"k" * 65: {"flag": True}}, "PROPERTY_KEY_INVALID"),
            "value oversized": Rejection(
                {"k": {"text": "x" * 1_025}}, "PROPERTY_TOO_LARGE", "properties.k"
            ),
            "value absent": Rejection({"k": {}}, "PROPERTY_INVALID", "properties.k"),
            "value malformed": Rejection(
                {"k": {"decimal": "1,5"}}, "PROPERTY_INVALID", "properties.k"
            ),
        },
        "events[0].amount": {
            "malformed": Rejection("1,5", "AMOUNT_INVALID"),
            "oversized": Rejection("1e40", "AMOUNT_INVALID"),
        },
        "events[0].hold_id": {
            "oversized": Rejection(LONG, "FIELD_TOO_LARGE"),
            "paid": Rejection("std_6a1f0a8e-0000-4000-8000-000000000000", "ALREADY_PAID"),
        },
    },
    "tally.ingest.v1.IngestService.GetEvent": {
        "source": {"oversized": LONG},
        "id": {"absent": "", "oversized": LONG, **missing("event", "EVENT_NOT_FOUND")},
    },
    "tally.ingest.v1.IngestService.ListEvents": {
        "customer_id": {"oversized": LONG},
        "subscription_id": {"oversized": LONG},
        "type": {"oversized": LONG},
        "start": INSTANT,
        "end": INSTANT,
        **PAGE,
    },
    "tally.ingest.v1.IngestService.ListRejectedEvents": {
        "customer_id": {"oversized": LONG},
        "reason": {"malformed": 99},
        **PAGE,
    },
}

RATING: Mapping[str, Fields] = {
    "tally.rating.v1.MeterService.CreateMeter": {
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "meter": ABSENT,
        "meter.meter_id": OUTPUT,
        "meter.created_at": OUTPUT,
        "meter.code": CODE,
        "meter.name": OPTIONAL_TEXT,
        "meter.event_type": OPTIONAL_TEXT,
        "meter.aggregation": enum(),
        "meter.value_property": {"absent": "", "oversized": "k" * 65},
        "meter.dimensions": {"oversized": [{"key": f"d{n}"} for n in range(9)]},
        "meter.dimensions[0].key": {"absent": "", "oversized": "k" * 65},
        "meter.dimensions[0].values": {"oversized": Refusal(["x" * 1_025], field="*")},
    },
    "tally.rating.v1.MeterService.GetMeter": {"code": named(CODE, "meter", "METER_NOT_FOUND")},
    "tally.rating.v1.MeterService.ListMeters": PAGE,
    "tally.rating.v1.PlanService.CreatePlan": {
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "plan": ABSENT,
        "plan.plan_id": OUTPUT,
        "plan.created_at": OUTPUT,
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
    "tally.rating.v1.PlanService.ListPlans": PAGE,
    "tally.rating.v1.SubscriptionService.CreateSubscription": {
        "request_id": UUID,
        "validate_only": CHECK_ONLY,
        "subscription": ABSENT,
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
    },
    "tally.rating.v1.SubscriptionService.ListBillingPeriods": {
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        **PAGE,
    },
    "tally.rating.v1.UsageService.GetUsage": {
        "subscription_id": named(TEXT, "subscription", "SUBSCRIPTION_NOT_FOUND"),
        "at": {**INSTANT, "outside": Refusal({"seconds": 1}, NOT_FOUND, "PERIOD_NOT_FOUND", "")},
    },
    "tally.rating.v1.RatingService.RatePeriod": {
        "period_id": uuid_of("period", "PERIOD_NOT_FOUND"),
    },
}

INVOICING: Mapping[str, Fields] = {
    "tally.invoicing.v1.TenantService.UpdateBillingEntity": {
        "request_id": UUID,
        "billing_entity": ABSENT,
        "billing_entity.code": {"malformed": "other", "oversized": "a" * 129},
        "billing_entity.name": OPTIONAL_TEXT,
        "billing_entity.address": AnyValue("may be absent; its fields follow"),
        "billing_entity.address.lines": {
            "oversized": Refusal(["a"] * 5),
            "line oversized": Refusal([LONG], field="*"),
        },
        "billing_entity.address.city": OPTIONAL_TEXT,
        "billing_entity.address.postal_code": OPTIONAL_TEXT,
        "billing_entity.address.region": OPTIONAL_TEXT,
        "billing_entity.address.country_code": {"malformed": "au", "oversized": "AUS"},
        "billing_entity.tax_id": OPTIONAL_TEXT,
        "billing_entity.number_prefix": {"malformed": "in v", "oversized": "A" * 13},
        "billing_entity.numbering": {"malformed": 99},
        "billing_entity.time_zone": ZONE,
        "billing_entity.default_tax_codes": {
            "malformed": Refusal(["a b"], field="*"),
            "foreign": Refusal([Foreign("tax")], NOT_FOUND, "TAX_NOT_FOUND", ""),
        },
        "billing_entity.grace_days": {"negative": -1, "oversized": 61},
        "billing_entity.net_terms_days": {"negative": -1, "oversized": 366},
        "billing_entity.zero_invoices": {"malformed": 99},
    },
    "tally.invoicing.v1.CustomerService.UpsertCustomer": {
        "request_id": UUID,
        "customer": ABSENT,
        "customer.stub": OUTPUT,
        "customer.created_at": OUTPUT,
        "customer.customer_id": TEXT,
        "customer.name": OPTIONAL_TEXT,
        "customer.email": OPTIONAL_TEXT,
        "customer.address": AnyValue("may be absent; its fields follow"),
        "customer.address.lines": {"oversized": Refusal(["a"] * 5)},
        "customer.address.city": OPTIONAL_TEXT,
        "customer.address.postal_code": OPTIONAL_TEXT,
        "customer.address.region": OPTIONAL_TEXT,
        "customer.address.country_code": {"malformed": "au", "oversized": "AUS"},
        "customer.tax_id": OPTIONAL_TEXT,
        "customer.tax_codes": {
            "malformed": Refusal(["a b"], field="*"),
            "foreign": Refusal([Foreign("tax")], NOT_FOUND, "TAX_NOT_FOUND", ""),
        },
        "customer.tax_exempt": AnyValue("yes or no"),
        "customer.time_zone": ZONE,
        "customer.metadata": {
            "oversized": Refusal({f"k{n}": "v" for n in range(51)}, field="*"),
            "key oversized": Refusal({"k" * 65: "v"}, field="*"),
            "value oversized": Refusal({"k": "v" * 501}, field="*"),
        },
    },
    "tally.invoicing.v1.CustomerService.GetCustomer": {
        "customer_id": named(TEXT, "customer", "CUSTOMER_NOT_FOUND"),
    },
    "tally.invoicing.v1.CustomerService.ListCustomers": PAGE,
    "tally.invoicing.v1.TaxService.CreateTax": {
        "request_id": UUID,
        "tax": ABSENT,
        "tax.created_at": OUTPUT,
        "tax.code": CODE,
        "tax.name": OPTIONAL_TEXT,
        "tax.rate_percent": {**PRICE, "above": "100.01"},
    },
    "tally.invoicing.v1.TaxService.ListTaxes": PAGE,
    "tally.invoicing.v1.InvoiceService.GetInvoice": {
        "invoice_id": uuid_of("invoice", "INVOICE_NOT_FOUND"),
        "number": {"absent": Refusal("", field="*"), "oversized": LONG}
        | missing("invoice_number", "INVOICE_NOT_FOUND"),
    },
    "tally.invoicing.v1.InvoiceService.ListInvoices": {
        "customer_id": {"oversized": LONG},
        "status": {"malformed": 99},
        **PAGE,
    },
    "tally.invoicing.v1.InvoiceService.RenderInvoice": {
        "invoice_id": uuid_of("invoice", "INVOICE_NOT_FOUND"),
    },
}

WALLET: Mapping[str, Fields] = {
    "tally.wallet.v1.WalletService.CreateWallet": {
        "request_id": UUID,
        "wallet": ABSENT,
        "wallet.wallet_id": OUTPUT,
        "wallet.created_at": OUTPUT,
        "wallet.customer_id": TEXT,
        "wallet.currency_code": CURRENCY,
        "wallet.name": OPTIONAL_TEXT,
        "wallet.priority": {"negative": -1, "oversized": 101},
        "wallet.scope": AnyValue("absent: pays for everything"),
        "wallet.scope.fee_kinds": {"malformed": Refusal(["colour"], field="*")},
        "wallet.scope.meter_codes": {"malformed": Refusal(["a b"], field="*")},
    },
    "tally.wallet.v1.WalletService.GetWallet": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
    },
    "tally.wallet.v1.WalletService.ListWallets": {"customer_id": {"oversized": LONG}, **PAGE},
    "tally.wallet.v1.WalletService.GrantCredits": {
        "request_id": UUID,
        "grant": ABSENT,
        "grant.grant_id": OUTPUT,
        "grant.remaining": OUTPUT,
        "grant.created_at": OUTPUT,
        "grant.wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "grant.kind": enum(),
        "grant.amount": ABSENT,
        "grant.amount.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "grant.amount.amount_minor": {
            "absent": Refusal(0, field="*"),
            "negative": Refusal(-1, field="*"),
            "oversized": Refusal(2**63 - 1, field="*"),
        },
        "grant.priority": {"negative": -1, "oversized": 101},
        "grant.effective_at": INSTANT,
        "grant.expires_at": {**INSTANT, "past": {"seconds": 1}},
        "grant.reference": OPTIONAL_TEXT,
    },
    "tally.wallet.v1.WalletService.GetBalance": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
    },
    "tally.wallet.v1.WalletService.ListGrants": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        **PAGE,
    },
    "tally.wallet.v1.WalletService.ListEntries": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        **PAGE,
    },
    "tally.wallet.v1.HoldService.Authorize": {
        "request_id": UUID,
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "amount": ABSENT,
        "amount.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "amount.amount_minor": {
            "absent": Refusal(0, field="*"),
            "negative": Refusal(-1, field="*"),
            "oversized": Refusal(2**63 - 1, FAILED, "INSUFFICIENT_BALANCE", ""),
        },
        "ttl": {"negative": {"seconds": -1}, "oversized": {"seconds": 31 * 86_400}},
        "subscription_id": TEXT,
        "standalone": {"malformed": False},
    },
    "tally.wallet.v1.HoldService.Capture": {
        "request_id": UUID,
        "hold_id": {"absent": "", "malformed": "no-hold", **missing("hold", "HOLD_NOT_FOUND")},
        "amount": ABSENT,
        "amount.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "amount.amount_minor": {
            "negative": Refusal(-1, field="*"),
            "oversized": Refusal(2**62, FAILED, "CAPTURE_ABOVE_HOLD", ""),
        },
        "final": AnyValue("yes or no"),
    },
    "tally.wallet.v1.HoldService.Release": {
        "request_id": UUID,
        "hold_id": {"absent": "", "malformed": "no-hold", **missing("hold", "HOLD_NOT_FOUND")},
    },
    "tally.wallet.v1.HoldService.GetHold": {
        "hold_id": {"absent": "", "malformed": "no-hold", **missing("hold", "HOLD_NOT_FOUND")},
    },
}

TABLE: Mapping[str, Fields] = {**INGEST, **RATING, **INVOICING, **WALLET}


@dataclass(frozen=True, slots=True)
class Case:
    """One row: `method` with `path` set to a bad value."""

    method: str
    path: str
    kind: str
    expected: Refusal | Rejection = field(hash=False)

    def __str__(self) -> str:
        return f"{self.method.rsplit('.', 1)[-1]}.{self.path} {self.kind}"


def all_cases() -> list[Case]:
    """Every row of the table."""
    cases = []
    for method, fields in TABLE.items():
        for path, rule in fields.items():
            if isinstance(rule, AnyValue):
                continue
            for kind, value in rule.items():
                expected = value if isinstance(value, Refusal | Rejection) else Refusal(value)
                cases.append(Case(method, path, kind, expected))
    return cases
