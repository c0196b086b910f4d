"""Alerts and what they tell as messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from libs.quantity import decimal_text
from libs.wire import period_message, timestamp
from services.rating.domain.alert import Alert, AlertDirection, AlertMeasure, Crossing
from services.rating.domain.period import BillingPeriod
from services.rating.store.alerts import Firing
from tally.rating.v1 import alert_service_pb2 as pb
from tally.rating.v1 import events_pb2

MEASURES = {one: pb.AlertMeasure.Value(f"ALERT_MEASURE_{one.upper()}") for one in AlertMeasure}
DIRECTIONS = {
    one: pb.AlertDirection.Value(f"ALERT_DIRECTION_{one.upper()}") for one in AlertDirection
}


def alert_message(alert: Alert) -> pb.Alert:
    """Write an alert."""
    step = alert.repeating_step
    return pb.Alert(
        alert_id=str(alert.alert_id),
        subscription_id=alert.subscription_id,
        code=alert.code,
        name=alert.name,
        measure=MEASURES[alert.measure],
        meter_code=alert.meter_code,
        direction=DIRECTIONS[alert.direction],
        thresholds=[
            pb.AlertThreshold(code=one.code, value=decimal_text(one.value))
            for one in alert.thresholds
        ],
        repeating_step="" if step is None else decimal_text(step),
        created_at=timestamp(alert.created_at),
    )


def firing_message(firing: Firing) -> pb.AlertFiring:
    """Write what an alert told."""
    return pb.AlertFiring(
        period_id=str(firing.period_id),
        period=period_message(firing.usage.start, firing.usage.end),
        crossed=_crossed_message(firing.crossing),
        earlier_count=firing.earlier_count,
        value=decimal_text(firing.value),
        triggered_at=timestamp(firing.triggered_at),
    )


def triggered(
    alert: Alert,
    period: BillingPeriod,
    crossed: Sequence[Crossing],
    *,
    value: Decimal,
    now: datetime,
) -> events_pb2.AlertTriggered:
    """Write the fact that an alert tells something."""
    return events_pb2.AlertTriggered(
        alert_id=str(alert.alert_id),
        alert_code=alert.code,
        subscription_id=alert.subscription_id,
        customer_id=period.customer_id,
        measure=MEASURES[alert.measure],
        meter_code=alert.meter_code,
        direction=DIRECTIONS[alert.direction],
        crossed=[_crossed_message(one) for one in crossed],
        value=decimal_text(value),
        currency_code=period.currency,
        period_id=str(period.period_id),
        period=period_message(period.usage.start, period.usage.end),
        triggered_at=timestamp(now),
    )


def _crossed_message(crossing: Crossing) -> pb.CrossedThreshold:
    return pb.CrossedThreshold(
        threshold_code=crossing.code, value=decimal_text(crossing.value), step=crossing.step
    )
