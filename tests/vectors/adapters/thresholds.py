"""Progressive thresholds as Lago has them: amounts of lifetime usage, the last of which repeats."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from services.rating.domain.thresholds import Crossed, UsageThresholds, crossed, standing
from tests.vectors.given import Given


def cross(given: Given, asked: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the rows `asked`, of invoiced and current usage, with what they cross."""
    thresholds = _thresholds_of(given)
    before = given.find_decimal("historical_usage_cents") or Decimal(0)
    part = given.find_decimal("progressive_billed_cents") or Decimal(0)
    rows = []
    for invoiced, current, *_ in asked:
        found = crossed(thresholds, billed=before + invoiced + part, fresh=current - part)
        rows.append([invoiced, current, [int(one.amount) for one in found]])
    return {"row": "[invoiced usage, current period usage, thresholds passed now]", "rows": rows}


def show_progress(given: Given) -> dict[str, Any]:
    """Return between which thresholds lifetime usage is, and how far."""
    thresholds = _thresholds_of(given)
    past = [
        Crossed(thresholds.step, repeats=True)
        if one == "recurring" and thresholds.step is not None
        else Crossed(Decimal(one))
        for one in given.value("applied")
    ]
    found = standing(thresholds, past=past, lifetime=given.decimal("lifetime_usage_cents"))
    return {
        "last_threshold_cents": None if found.last is None else int(found.last),
        "next_threshold_cents": None if found.following is None else int(found.following),
        "completion_ratio": found.ratio,
    }


def _thresholds_of(given: Given) -> UsageThresholds:
    amounts = tuple(given.decimals("fixed_thresholds_cents"))
    return UsageThresholds(amounts, given.find_decimal("recurring_threshold_cents"))
