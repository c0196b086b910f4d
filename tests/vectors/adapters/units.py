"""Cases of rounded units and counted days, told to the domain."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from libs.quantity import decimal_text
from services.rating.domain.day_counts import days_between
from services.rating.domain.rounding import Rounding, RoundingMode, round_units
from tests.vectors.given import Given


def round_one(given: Given) -> dict[str, Any]:
    """Return {"units": text}."""
    mode, places = given.value("rounding_function"), given.value("rounding_precision")
    rounding = None if mode is None else Rounding(RoundingMode(mode), places or 0)
    return {"units": decimal_text(round_units(given.decimal("units"), rounding))}


def count_days(given: Given) -> dict[str, Any]:
    """Return {"days": number}."""
    first, last = (datetime.fromisoformat(given.text(key)) for key in ("from", "to"))
    return {"days": days_between(first, last, ZoneInfo(given.text("timezone")))}
