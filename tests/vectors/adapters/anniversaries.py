"""Periods of subscriptions that are billed by the day on which they began."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from libs.anniversary import anniversary_period
from libs.period import local_day
from tests.vectors.adapters.recorded import UTC_ZONE, instant
from tests.vectors.given import Given

MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}


def find_period(given: Given) -> dict[str, Any]:
    """Return the period that holds an instant, with the last second of it."""
    if given.text("billing_time") != "anniversary":
        raise ValueError(f"the billing time {given.text('billing_time')} is unknown here")
    start, at = (instant(given.text(key)) for key in ("subscription_start", "at"))
    months = MONTHS[given.text("interval")]
    days = anniversary_period(local_day(start, UTC_ZONE), months, local_day(at, UTC_ZONE))
    bounds = days.instants(UTC_ZONE)
    return {
        "from": f"{bounds.start:%Y-%m-%dT%H:%M:%SZ}",
        "to_inclusive": f"{bounds.end - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}",
    }
