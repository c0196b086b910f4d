"""Billing runs as Lago's tests state them: which windows, and on which days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from libs.period import DayPeriod, local_day, local_midnight
from services.rating.domain.billing_run import (
    Ending,
    Life,
    Run,
    billed_at,
    is_billing_day,
    present,
    previous,
    running_at,
    usage_after,
)
from services.rating.domain.calendar import BillingTime, Calendar
from services.rating.domain.plan import Interval, IntervalUnit, Timing
from tests.vectors.adapters.recorded import instant
from tests.vectors.given import Given

SECOND = timedelta(seconds=1)
MONTH = Interval(IntervalUnit.MONTH)
INTERVALS = {
    "weekly": Interval(IntervalUnit.WEEK),
    "monthly": MONTH,
    "quarterly": Interval(IntervalUnit.QUARTER),
    "semiannual": Interval(IntervalUnit.HALF_YEAR),
    "yearly": Interval(IntervalUnit.YEAR),
}


def boundaries(given: Given) -> dict[str, Any]:
    """Return what a run at `billing_at` bills, and the periods around it."""
    fees, usage = _calendars(given)
    at, life = instant(given.text("billing_at")), _life(given)
    timing = Timing.IN_ADVANCE if given.value("pay_in_advance") else Timing.IN_ARREARS
    current = given.has("current_usage") and given.value("current_usage")
    run = (
        running_at(fees, usage, life, at=at)
        if current
        else billed_at(fees, usage, life, at=at, timing=timing)
    )
    window = run.usage.usage
    if given.has("previous_invoice"):
        last = given.inner("previous_invoice")
        ZoneInfo(last.text("timezone"))  # Only the instant matters.
        window = usage_after(window, instant(last.text("charges_to")) + SECOND)
    return {
        "from": _text(local_midnight(run.fee.fee_days.first_day, fees.zone)),
        "to": _last(run.fee.usage.end, life),
        "charges_from": _text(window.start),
        "charges_to": _last(window.end, life),
        "period_days": run.fee.whole.days,
        "charges_period_days": run.usage.whole.days,
        "current_period_start": _bounds(present(fees, at), fees)[0],
        "current_period_end": _bounds(present(fees, at), fees)[1],
        "previous_period_start": _bounds(previous(fees, at), fees)[0],
    }


def schedule(given: Given) -> dict[str, Any]:
    """Tell which of the instants asked about lie on billing days, and how much one day bills."""
    if given.value("pay_in_advance"):
        raise ValueError("only what is billed in arrears has its days told here")
    fees, usage = _calendars(given)
    life = Life(instant(given.text("subscription_at")))
    yes, no = (
        [at for at in given.asked(key) if is_billing_day(usage, instant(at)) is which]
        for key, which in (("billing_day", True), ("not_a_billing_day", False))
    )
    billed: dict[Any, set[Run]] = {}
    for at in map(instant, given.asked("billing_day")):
        run = billed_at(fees, usage, life, at=at, timing=Timing.IN_ARREARS)
        billed.setdefault(local_day(at, usage.zone), set()).add(run)
    per_day = {len(runs) for runs in billed.values()}
    return {"billing_day": yes, "not_a_billing_day": no, "invoices_per_billing_day": max(per_day)}


def _calendars(given: Given) -> tuple[Calendar, Calendar]:
    """Return the calendars of base fees and of usage."""
    zone = ZoneInfo(given.text("customer_timezone"))
    anchor = local_day(instant(given.text("subscription_at")), zone)
    interval, time = INTERVALS[given.text("interval")], BillingTime(given.text("billing_time"))
    monthly = given.has("bill_charges_monthly") and given.value("bill_charges_monthly")
    fees = Calendar(interval, zone, time, anchor)
    return fees, Calendar(MONTH, zone, time, anchor) if monthly else fees


def _life(given: Given) -> Life:
    start = instant(given.text("started_at"))
    if not given.has("terminated_at"):
        return Life(start)
    ending = Ending(given.text("terminated_because"))
    return Life(start, instant(given.text("terminated_at")), ending)


def _last(end: datetime, life: Life) -> str:
    """Write the end of a window: that of days as their last second, an instant as it is."""
    return _text(end if end in (life.start, life.end) else end - SECOND)


def _bounds(days: DayPeriod, calendar: Calendar) -> tuple[str, str]:
    found = days.instants(calendar.zone)
    return _text(found.start), _text(found.end - SECOND)


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
