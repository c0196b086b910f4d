"""Top-ups and their rules as the contracts show them."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from libs.money import Money
from libs.wire import civil_date, money_message, timestamp
from services.wallet.domain.top_up import TopUp, TopUpStatus
from services.wallet.domain.top_up_rule import Below, Every, Fixed, Interval, TopUpRule, UpTo
from tally.wallet.v1 import top_up_pb2
from tally.wallet.v1 import top_up_rule_service_pb2 as rules_pb

SECOND = timedelta(seconds=1)
STATUS = {
    TopUpStatus.PENDING: top_up_pb2.TOP_UP_STATUS_PENDING,
    TopUpStatus.SETTLED: top_up_pb2.TOP_UP_STATUS_SETTLED,
    TopUpStatus.FAILED: top_up_pb2.TOP_UP_STATUS_FAILED,
    TopUpStatus.CANCELLED: top_up_pb2.TOP_UP_STATUS_CANCELLED,
}
INTERVAL = {
    Interval.DAY: rules_pb.TOP_UP_INTERVAL_DAY,
    Interval.WEEK: rules_pb.TOP_UP_INTERVAL_WEEK,
    Interval.MONTH: rules_pb.TOP_UP_INTERVAL_MONTH,
    Interval.QUARTER: rules_pb.TOP_UP_INTERVAL_QUARTER,
    Interval.HALF_YEAR: rules_pb.TOP_UP_INTERVAL_HALF_YEAR,
    Interval.YEAR: rules_pb.TOP_UP_INTERVAL_YEAR,
}


def top_up_message(top_up: TopUp) -> top_up_pb2.TopUp:
    """Write a top-up."""
    paid, granted = (
        money_message(Money(top_up.currency, amount)) if amount else None
        for amount in (top_up.amounts.paid_minor, top_up.amounts.granted_minor)
    )
    return top_up_pb2.TopUp(
        top_up_id=str(top_up.top_up_id),
        wallet_id=str(top_up.wallet_id),
        paid=paid,
        granted=granted,
        requires_payment=top_up.requires_payment,
        status=STATUS[top_up.status],
        rule_id=str(top_up.rule_id) if top_up.rule_id else "",
        created_at=timestamp(top_up.created_at),
        closed_at=timestamp(top_up.closed_at) if top_up.closed_at else None,
    )


def rule_message(rule: TopUpRule) -> rules_pb.TopUpRule:
    """Write a rule."""
    message = rules_pb.TopUpRule(
        rule_id=str(rule.rule_id),
        wallet_id=str(rule.wallet_id),
        name=rule.name,
        time_zone=rule.zone.key,
        requires_payment=rule.requires_payment,
        ignores_limits=rule.ignores_limits,
        monthly_cap_minor=rule.monthly_cap_minor,
        expires_at=timestamp(rule.expires_at) if rule.expires_at else None,
        created_at=timestamp(rule.created_at),
        archived_at=timestamp(rule.archived_at) if rule.archived_at else None,
    )
    match rule.trigger:
        case Below(threshold_minor, cool_down):
            message.threshold.SetInParent()
            message.threshold.threshold_minor = threshold_minor
            if cool_down > timedelta():
                message.threshold.cool_down.CopyFrom(Duration(seconds=cool_down // SECOND))
        case Every(interval, first_day):
            message.interval.interval = INTERVAL[interval]
            message.interval.first_day.CopyFrom(civil_date(first_day))
    match rule.amount:
        case Fixed(paid_minor, granted_minor):
            message.fixed.paid_minor = paid_minor
            message.fixed.granted_minor = granted_minor
        case UpTo(target_minor, gives):
            message.target.target_minor = target_minor
            message.target.granted = gives
    return message
