"""A billing period as the store has it, for what is priced without one."""

from __future__ import annotations

from datetime import datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.period import DayPeriod
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus

UTC = ZoneInfo("UTC")


def a_billing_period(
    kind: PeriodKind, *, whole: DayPeriod, fee_days: DayPeriod, status: PeriodStatus
) -> BillingPeriod:
    """Return a period of some days, in UTC, of a `whole` week or month."""
    return BillingPeriod(
        period_id=UUID(int=3),
        kind=kind,
        subscription_uid=UUID(int=4),
        subscription_id="acme-pro",
        customer_id="acme",
        term_id=UUID(int=5),
        plan_version_id=UUID(int=2),
        plan_code="pro",
        plan_name="Pro",
        plan_version=1,
        currency="USD",
        time_zone="UTC",
        whole=whole,
        fee_days=fee_days,
        usage=fee_days.instants(UTC),
        due_at=datetime.combine(whole.end_day, time(), UTC),
        status=status,
        late_version=0,
    )
