"""What coupons refuse, by request and field; and their good requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.contract.bad_input.rules import (
    ABSENT,
    CODE,
    CURRENCY,
    INSTANT,
    NOT_FOUND,
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
    named,
    uuid_of,
)

AMOUNT = "coupon.amount_off.amount_minor"
CODES = [f"code-{n}" for n in range(21)]

COUPONS: Mapping[str, Fields] = {
    "tally.invoicing.v1.CouponService.CreateCoupon": {
        "request_id": UUID,
        "coupon": ABSENT,
        "coupon.created_at": OUTPUT,
        "coupon.archived_at": OUTPUT,
        "coupon.code": CODE,
        "coupon.name": OPTIONAL_TEXT,
        "coupon.percent": {**PRICE, "zero": "0", "above": "100.01"},
        "coupon.amount_off": {
            "nothing": Refusal({"currency_code": "USD"}, field=AMOUNT),
            "negative": Refusal({"currency_code": "USD", "amount_minor": -1}, field=AMOUNT),
            "oversized": Refusal(
                {"currency_code": "USD", "amount_minor": 10**15 + 1}, field=AMOUNT
            ),
        },
        "coupon.amount_off.currency_code": CURRENCY,
        "coupon.amount_off.amount_minor": AnyValue("its rows are those of coupon.amount_off"),
        "coupon.frequency": {
            "malformed": 99,
            "without periods": Refusal("COUPON_FREQUENCY_PERIODS", field="coupon.periods"),
        },
        "coupon.periods": {"negative": -1, "of none": 1},
        "coupon.meter_codes": {
            "malformed": Refusal(["a b"], field="coupon.meter_codes[0]"),
            "twice": ["a", "a"],
            "oversized": CODES,
            "foreign": Refusal([Foreign("meter")], NOT_FOUND, "METER_NOT_FOUND", ""),
        },
        "coupon.plan_codes": {
            "malformed": Refusal(["a b"], field="*"),
            "with meters": ["a"],
        },
        "coupon.expires_at": INSTANT,
    },
    "tally.invoicing.v1.CouponService.GetCoupon": {
        "code": named(CODE, "coupon", "COUPON_NOT_FOUND"),
    },
    "tally.invoicing.v1.CouponService.ListCoupons": {
        "include_archived": AnyValue("yes or no"),
        **PAGE,
    },
    "tally.invoicing.v1.CouponService.ArchiveCoupon": {
        "request_id": UUID,
        "code": named(CODE, "coupon", "COUPON_NOT_FOUND"),
    },
    "tally.invoicing.v1.CouponService.ApplyCoupon": {
        "request_id": UUID,
        "customer_id": named(TEXT, "customer", "CUSTOMER_NOT_FOUND"),
        "coupon_code": named(CODE, "coupon", "COUPON_NOT_FOUND"),
    },
    "tally.invoicing.v1.CouponService.RemoveAppliedCoupon": {
        "request_id": UUID,
        "applied_coupon_id": uuid_of("applied_coupon", "APPLIED_COUPON_NOT_FOUND"),
    },
    "tally.invoicing.v1.CouponService.ListAppliedCoupons": {
        "customer_id": {"oversized": "a" * 256},
        "status": {"malformed": 99},
        **PAGE,
    },
}


def coupon_requests(
    world: Mapping[str, str], command: Mapping[str, str], fresh: str
) -> dict[str, dict[str, Any]]:
    """The fields of a good request by method."""
    return {
        "invoicing.v1.CouponService.CreateCoupon": {
            **command,
            "coupon": {"code": fresh, "percent": "1", "meter_codes": [world["meter"]]},
        },
        "invoicing.v1.CouponService.GetCoupon": {"code": world["coupon"]},
        "invoicing.v1.CouponService.ListCoupons": {},
        "invoicing.v1.CouponService.ArchiveCoupon": {**command, "code": world["idle_coupon"]},
        "invoicing.v1.CouponService.ApplyCoupon": {
            **command,
            "customer_id": world["customer"],
            "coupon_code": world["coupon"],
        },
        "invoicing.v1.CouponService.RemoveAppliedCoupon": {
            **command,
            "applied_coupon_id": world["applied_coupon"],
        },
        "invoicing.v1.CouponService.ListAppliedCoupons": {},
    }
