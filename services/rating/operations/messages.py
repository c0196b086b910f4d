"""Things of rating as messages of the contract."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from libs.money import DIVIDING, Money
from libs.quantity import decimal_text
from libs.wire import civil_date, day_period, money_message, period_message, timestamp
from services.rating.domain.calendar import BillingTime
from services.rating.domain.fee import PLACES, Fee, FeeKey, FeeKind
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.plan import Charge, FixedCharge, IntervalUnit, Plan, PlanVersion, Timing
from services.rating.domain.price import Row
from services.rating.domain.subscription import Subscription, SubscriptionStatus, UnusedFee
from services.rating.domain.thresholds import UsageThresholds
from services.rating.operations.price_messages import (
    instant_fields,
    options_fields,
    price_message,
)
from tally.rating.v1 import billing_period_pb2 as period_pb
from tally.rating.v1 import plan_service_pb2 as plan_pb
from tally.rating.v1 import subscription_changes_pb2 as changes_pb
from tally.rating.v1 import subscription_service_pb2 as subscription_pb
from tally.rating.v1 import threshold_pb2

BILLING_TIMES = {
    each: subscription_pb.BillingTime.Value(f"BILLING_TIME_{each.name}") for each in BillingTime
}
INTERVAL_UNITS = {
    each: plan_pb.IntervalUnit.Value(f"INTERVAL_UNIT_{each.name}") for each in IntervalUnit
}
TIMINGS = {each: plan_pb.Timing.Value(f"TIMING_{each.name}") for each in Timing}
STATUSES = {
    each: subscription_pb.SubscriptionStatus.Value(f"SUBSCRIPTION_STATUS_{each.name}")
    for each in SubscriptionStatus
}
UNUSED_FEES = {each: changes_pb.UnusedFee.Value(f"UNUSED_FEE_{each.name}") for each in UnusedFee}
PERIOD_KINDS = {each: period_pb.PeriodKind.Value(f"PERIOD_KIND_{each.name}") for each in PeriodKind}
PERIOD_STATUSES = {
    each: period_pb.PeriodStatus.Value(f"PERIOD_STATUS_{each.name}") for each in PeriodStatus
}
FEE_KINDS = {each: period_pb.FeeKind.Value(f"FEE_KIND_{each.name}") for each in FeeKind}


def plan_message(plan: Plan) -> plan_pb.Plan:
    """Write a plan."""
    return plan_pb.Plan(
        plan_id=str(plan.plan_id),
        code=plan.code,
        name=plan.name,
        currency_code=plan.currency,
        created_at=timestamp(plan.created_at),
        archived_at=None if plan.archived_at is None else timestamp(plan.archived_at),
    )


def version_message(version: PlanVersion) -> plan_pb.PlanVersion:
    """Write a plan version."""
    return plan_pb.PlanVersion(
        plan_version_id=str(version.plan_version_id),
        version=version.version,
        interval_unit=INTERVAL_UNITS[version.interval_unit],
        interval_count=version.interval_count,
        base_amount=_optional(version.base_amount),
        base_timing=TIMINGS[version.base_timing]
        if version.base_timing
        else plan_pb.TIMING_UNSPECIFIED,
        charges=[_charge_message(charge) for charge in version.charges],
        created_at=timestamp(version.created_at),
        fixed_charges=[_fixed_message(charge) for charge in version.fixed_charges],
        trial_days=version.trial_days,
        bill_usage_monthly=version.bill_usage_monthly,
        minimum_commitment=_optional(version.minimum_commitment),
        usage_thresholds=_thresholds_message(version.usage_thresholds),
        tax_codes=version.tax_codes,
    )


def subscription_message(subscription: Subscription) -> subscription_pb.Subscription:
    """Write a subscription."""
    end, billed_from = subscription.end, subscription.billed_from
    return subscription_pb.Subscription(
        subscription_id=subscription.subscription_id,
        subscription_uid=str(subscription.subscription_uid),
        customer_id=subscription.customer_id,
        plan_code=subscription.plan_code,
        plan_version=subscription.plan_version,
        start=timestamp(subscription.start),
        end=None if end is None else timestamp(end),
        time_zone=subscription.time_zone,
        status=STATUSES[subscription.status],
        default_for_usage=subscription.default_for_usage,
        collection_delay_s=subscription.collection_delay_s,
        currency_code=subscription.currency,
        created_at=timestamp(subscription.created_at),
        billing_time=BILLING_TIMES[subscription.billing_time],
        anchor_day=civil_date(subscription.anchor_day),
        etag=subscription.etag,
        unused_fee=UNUSED_FEES[subscription.unused_fee],
        final_invoice=changes_pb.FINAL_INVOICE_GENERATE
        if subscription.final_invoice
        else changes_pb.FINAL_INVOICE_SKIP,
        metadata=dict(subscription.metadata),
        billing_entity_code=subscription.billing_entity_code,
        billed_from=None if billed_from is None else timestamp(billed_from),
    )


def billing_period_message(
    period: BillingPeriod, status: PeriodStatus | None = None
) -> period_pb.BillingPeriod:
    """Write a billing period, as it stands or with the `status` that it gets."""
    days = period.fee_days
    return period_pb.BillingPeriod(
        period_id=str(period.period_id),
        kind=PERIOD_KINDS[period.kind],
        subscription_id=period.subscription_id,
        subscription_uid=str(period.subscription_uid),
        customer_id=period.customer_id,
        plan_code=period.plan_code,
        plan_name=period.plan_name,
        plan_version=period.plan_version,
        currency_code=period.currency,
        fee_days=day_period(days.first_day, days.end_day, period.time_zone),
        usage_period=period_message(period.usage.start, period.usage.end),
        due_at=timestamp(period.due_at),
        status=PERIOD_STATUSES[status or period.status],
        late_version=period.late_version,
        billing_entity_code=period.billing_entity_code,
    )


def fee_message(fee: Fee, currency: str) -> period_pb.Fee:
    """Write a fee."""
    return period_pb.Fee(
        kind=FEE_KINDS[fee.key.kind],
        charge_code=fee.key.charge_code,
        filter_code=fee.key.filter_code,
        meter_code=fee.meter_code,
        display_name=fee.display_name,
        units=shown(fee.units),
        event_count=fee.event_count,
        exact_amount=shown(fee.exact_amount),
        amount=money_message(Money(currency, fee.amount_minor)),
        breakdown=[_row_message(row) for row in fee.rows],
        group_values=group_messages(fee.key),
        tax_codes=fee.tax_codes,
    )


def group_messages(key: FeeKey) -> list[period_pb.GroupValue]:
    """Write what the usage of a fee has in common."""
    return [period_pb.GroupValue(key=name, value=value) for name, value in key.group_values]


def shown(value: Decimal) -> str:
    """Write a decimal; the contract has room for 30 places, which no real price comes near."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < PLACES.as_tuple().exponent:  # type: ignore[operator]
        value = value.quantize(PLACES, rounding=ROUND_HALF_UP, context=DIVIDING)
    return decimal_text(value)


def _row_message(row: Row) -> period_pb.BreakdownRow:
    return period_pb.BreakdownRow(
        label=row.label,
        units=shown(row.units),
        unit_amount=shown(row.unit_amount),
        flat_amount=shown(row.flat_amount),
        amount=shown(row.amount),
        up_to=_optional(row.up_to),
        pricing_unit=row.pricing_unit,
    )


def _fixed_message(charge: FixedCharge) -> plan_pb.FixedCharge:
    return plan_pb.FixedCharge(
        code=charge.code,
        display_name=charge.display_name,
        price=price_message(charge.price),
        units=decimal_text(charge.units),
        timing=TIMINGS[charge.timing],
        prorated=charge.prorated,
        tax_codes=charge.tax_codes,
    )


def _thresholds_message(thresholds: UsageThresholds | None) -> threshold_pb2.UsageThresholds | None:
    if thresholds is None:
        return None
    amounts = [decimal_text(amount) for amount in thresholds.amounts]
    return threshold_pb2.UsageThresholds(amounts=amounts, step=_optional(thresholds.step))


def _charge_message(charge: Charge) -> plan_pb.Charge:
    return plan_pb.Charge(
        code=charge.code,
        meter_code=charge.meter_code,
        display_name=charge.display_name,
        price=price_message(charge.price),
        buckets=[
            plan_pb.FilterBucket(
                code=bucket.code,
                filters=_filter_messages(bucket.filters),
                price=price_message(bucket.price),
            )
            for bucket in charge.buckets
        ],
        **options_fields(charge.options),
        **instant_fields(charge.instant),
        group_by=charge.group_by,
        prorated=charge.prorated,
        tax_codes=charge.tax_codes,
    )


def _filter_messages(filters: Iterable[DimensionFilter]) -> list[plan_pb.DimensionFilter]:
    return [plan_pb.DimensionFilter(key=each.key, values=sorted(each.values)) for each in filters]


def _optional(value: Decimal | None) -> str:
    return "" if value is None else decimal_text(value)
