"""Changes of plan as Meteroid prorates them."""

from __future__ import annotations

from datetime import date
from typing import Any

from libs.period import DayPeriod
from services.rating.domain.plan_change import Component, change_minor
from tests.vectors.given import Given

NOMINAL_DAYS = {"monthly": 30, "annual": 365, "one_time": None}
SIGNS = {"add": 1, "remove": -1}


def change_plan(given: Given) -> dict[str, Any]:
    """Prorate what is removed and added; lines of nothing are left out."""
    first, end, day = (
        date.fromisoformat(given.text(key)) for key in ("period_start", "period_end", "change_date")
    )
    lines = [
        change_minor(_component(component), DayPeriod(first, end), day)
        for component in given.each("components")
    ]
    return {"line_cents": [line for line in lines if line], "net_cents": sum(lines)}


def _component(component: Given) -> Component:
    cents = SIGNS[component.text("action")] * int(component.text("cents"))
    return Component(cents, NOMINAL_DAYS[component.text("cadence")])
