"""Crossings of usage thresholds as messages of the contract."""

from __future__ import annotations

from libs.money import Money
from libs.quantity import decimal_text
from libs.wire import money_message, period_message, timestamp
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import PlanVersion
from services.rating.operations.messages import billing_period_message, fee_message
from services.rating.store.crossings import Crossing
from tally.rating.v1 import events_pb2, threshold_pb2
from tally.rating.v1 import rating_service_pb2 as pb


def threshold_crossed(
    period: BillingPeriod, crossing: Crossing
) -> events_pb2.UsageThresholdCrossed:
    """Write the fact that usage crossed thresholds."""
    return events_pb2.UsageThresholdCrossed(
        crossing_id=str(crossing.crossing_id),
        subscription_id=period.subscription_id,
        subscription_uid=str(period.subscription_uid),
        customer_id=period.customer_id,
        period_id=str(period.period_id),
        currency_code=period.currency,
        crossed=_crossed_messages(crossing),
        lifetime_usage=decimal_text(crossing.lifetime_amount),
        amount=money_message(Money(period.currency, crossing.amount_minor)),
        crossed_at=timestamp(crossing.crossed_at),
        sequence=crossing.sequence,
        period=period_message(period.usage.start, period.usage.end),
        time_zone=period.time_zone,
        billing_entity_code=period.billing_entity_code,
    )


def rated_crossing_message(
    period: BillingPeriod, crossing: Crossing, version: PlanVersion
) -> pb.ThresholdCrossing:
    """Write a crossing with what usage in arrears of the period cost then."""
    message = crossing_message(crossing)
    instant = {charge.code for charge in version.charges if charge.instant is not None}
    fees = [fee for fee in crossing.fees if fee.key.charge_code not in instant]
    minor = sum(fee.amount_minor for fee in fees)
    rated = pb.RatedPeriod(
        period=billing_period_message(period),
        fees=[fee_message(fee, period.currency) for fee in fees],
        amount=money_message(Money(period.currency, minor)),
        plan_version_id=str(crossing.plan_version_id),
    )
    message.rated.CopyFrom(rated)
    return message


def crossing_message(crossing: Crossing) -> pb.ThresholdCrossing:
    """Write a crossing."""
    return pb.ThresholdCrossing(
        crossing_id=str(crossing.crossing_id),
        sequence=crossing.sequence,
        crossed=_crossed_messages(crossing),
        lifetime_usage=decimal_text(crossing.lifetime_amount),
        crossed_at=timestamp(crossing.crossed_at),
        subscription_id=crossing.subscription_id,
        period_id=str(crossing.period_id),
        amount=money_message(Money(crossing.currency, crossing.amount_minor)),
    )


def _crossed_messages(crossing: Crossing) -> list[threshold_pb2.CrossedUsageThreshold]:
    return [
        threshold_pb2.CrossedUsageThreshold(amount=decimal_text(one.amount), repeats=one.repeats)
        for one in crossing.crossed
    ]
