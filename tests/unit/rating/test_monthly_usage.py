"""Usage of long intervals by the month."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.rating.domain.calendar import BillingTime, Calendar, stretches
from services.rating.domain.monthly_usage import MONTH, monthly_faults
from services.rating.domain.period import PeriodKind, planned_periods
from services.rating.domain.plan import (
    Charge,
    FixedCharge,
    Interval,
    IntervalUnit,
    PlanVersion,
    Timing,
)
from services.rating.domain.price import StandardPrice

PRICE = StandardPrice(Decimal(1))
UTC_ZONE = ZoneInfo("UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def a_version(
    unit: IntervalUnit,
    count: int = 1,
    *,
    timing: Timing = Timing.IN_ADVANCE,
    commitment: Decimal | None = None,
) -> PlanVersion:
    return PlanVersion(
        plan_version_id=UUID(int=1),
        version=1,
        interval_unit=unit,
        base_amount=Decimal(9),
        base_timing=Timing.IN_ARREARS,
        charges=(Charge("c", "c", "", PRICE, ()),),
        created_at=at("2024-01-01"),
        fixed_charges=(FixedCharge("seats", "", PRICE, Decimal(1), timing, prorated=True),),
        interval_count=count,
        minimum_commitment=commitment,
        bill_usage_monthly=True,
    )


def test_usage_is_due_every_month_and_the_base_fee_at_the_end_of_the_quarter() -> None:
    start, end = at("2023-10-31T08:00"), at("2024-02-10T12:00")
    calendar, months = (
        Calendar(interval, UTC_ZONE, BillingTime.ANNIVERSARY, date(2023, 10, 31))
        for interval in (Interval(IntervalUnit.QUARTER), MONTH)
    )
    planned = planned_periods(
        stretches(calendar, start, end),
        a_version(IntervalUnit.QUARTER),
        start=start,
        collection_delay=timedelta(hours=1),
        months=months,
    )
    found = [
        (each.kind, f"{each.stretch.fee_days.first_day:%m-%d}", each.due_at) for each in planned
    ]
    assert found == [
        (PeriodKind.BASE, "10-31", at("2024-01-31T01:00")),
        (PeriodKind.FIXED, "10-31", start),
        (PeriodKind.USAGE, "10-31", at("2023-11-30T01:00")),
        (PeriodKind.USAGE, "11-30", at("2023-12-31T01:00")),
        (PeriodKind.USAGE, "12-31", at("2024-01-31T01:00")),
        (PeriodKind.BASE, "01-31", at("2024-02-10T13:00")),
        (PeriodKind.FIXED, "01-31", at("2024-01-31T01:00")),
        (PeriodKind.USAGE, "01-31", at("2024-02-10T13:00")),
    ]


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        (a_version(IntervalUnit.MONTH, 2), []),
        (a_version(IntervalUnit.QUARTER), []),
        (a_version(IntervalUnit.YEAR), []),
        (a_version(IntervalUnit.MONTH), ["bill_usage_monthly"]),
        (a_version(IntervalUnit.WEEK, 52), ["bill_usage_monthly"]),
        (a_version(IntervalUnit.DAY, 90), ["bill_usage_monthly"]),
        (
            a_version(IntervalUnit.WEEK, timing=Timing.IN_ARREARS, commitment=Decimal(5)),
            ["bill_usage_monthly", "fixed_charges[0].timing"],
        ),
    ],
)
def test_what_months_cannot_bill_is_refused_all_at_once(
    version: PlanVersion, fields: list[str]
) -> None:
    found = [fault.field for fault in monthly_faults(version)]
    assert found == [f"version.{field}" for field in fields]
