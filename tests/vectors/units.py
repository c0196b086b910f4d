"""Cases of rounded units and counted days, told to the domain."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from libs.quantity import decimal_text
from services.rating.domain.day_counts import days_between
from services.rating.domain.rounding import Rounding, RoundingMode, round_units


def round_case(given: Mapping[str, Any]) -> object:
    """Return {"units": text}."""
    mode, places = given["rounding_function"], given["rounding_precision"]
    rounding = None if mode is None else Rounding(RoundingMode(mode), places or 0)
    return {"units": decimal_text(round_units(Decimal(given["units"]), rounding))}


def count_days_case(given: Mapping[str, Any]) -> object:
    """Return {"days": number}."""
    first, last = (datetime.fromisoformat(given[key]) for key in ("from", "to"))
    return {"days": days_between(first, last, ZoneInfo(given["timezone"]))}
