"""Coupons, as their contract says them."""

from __future__ import annotations

from libs.money import Money
from libs.quantity import decimal_text
from libs.wire import money_message, optional_time, timestamp
from services.invoicing.domain.applied_coupon import AppliedCoupon, Coupon, CouponStatus, Frequency
from services.invoicing.domain.coupon import CouponUse
from services.invoicing.domain.discounts import AmountOff, PercentOff
from tally.invoicing.v1 import coupon_service_pb2 as pb

FREQUENCY = {
    Frequency.ONCE: pb.COUPON_FREQUENCY_ONCE,
    Frequency.PERIODS: pb.COUPON_FREQUENCY_PERIODS,
    Frequency.FOREVER: pb.COUPON_FREQUENCY_FOREVER,
}
STATUS = {
    CouponStatus.ACTIVE: pb.APPLIED_COUPON_STATUS_ACTIVE,
    CouponStatus.USED: pb.APPLIED_COUPON_STATUS_USED,
    CouponStatus.REMOVED: pb.APPLIED_COUPON_STATUS_REMOVED,
}


def coupon_message(coupon: Coupon) -> pb.Coupon:
    """Write a coupon."""
    message = pb.Coupon(
        code=coupon.code,
        name=coupon.name,
        frequency=FREQUENCY[coupon.frequency],
        periods=coupon.periods,
        meter_codes=coupon.scope.meter_codes,
        plan_codes=coupon.scope.plan_codes,
        expires_at=optional_time(coupon.expires_at),
        created_at=timestamp(coupon.created_at),
        archived_at=optional_time(coupon.archived_at),
    )
    match coupon.discount:
        case PercentOff(percent):
            message.percent = decimal_text(percent)
        case AmountOff(amount_minor):
            message.amount_off.CopyFrom(money_message(Money(coupon.currency, amount_minor)))
    return message


def applied_message(applied: AppliedCoupon) -> pb.AppliedCoupon:
    """Write a coupon of a customer."""
    most = applied.coupon.most_minor
    return pb.AppliedCoupon(
        applied_coupon_id=str(applied.applied_coupon_id),
        customer_id=applied.customer_id,
        coupon=coupon_message(applied.coupon),
        status=STATUS[applied.status],
        used_minor=applied.used_minor,
        used_count=applied.used_count,
        left_minor=0 if most is None else most - applied.used_minor,
        periods_left=applied.periods_left,
        applied_at=timestamp(applied.applied_at),
        removed_at=optional_time(applied.removed_at),
    )


def use_message(use: CouponUse) -> pb.InvoiceCoupon:
    """Write what a coupon took off of an invoice."""
    discount = use.coupon.discount
    return pb.InvoiceCoupon(
        applied_coupon_id=str(use.coupon.applied_coupon_id),
        coupon_code=use.coupon.code,
        name=use.coupon.name,
        percent=decimal_text(discount.percent) if isinstance(discount, PercentOff) else "",
        amount_minor=use.amount_minor,
    )
