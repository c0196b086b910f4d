"""What a prorated charge must be like."""

from __future__ import annotations

from collections.abc import Iterable

from libs.errors import FieldInvalid
from services.rating.domain.charge_price import ChargePrice, weighs_entries
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.price import GraduatedPrice, StandardPrice, VolumePrice

PRORATED = (Aggregation.SUM, Aggregation.UNIQUE_COUNT)
MODELS = (StandardPrice, GraduatedPrice, VolumePrice)


def prorated_price_faults(price: ChargePrice, path: str) -> list[FieldInvalid]:
    """Return that the price at `path` cannot be that of a prorated charge."""
    if isinstance(price, MODELS):
        return []
    problem = "a prorated charge has standard, graduated and volume prices only"
    return [FieldInvalid(path, problem)]


def prorated_meter_faults(
    meter: Meter, prices: Iterable[ChargePrice], path: str
) -> list[FieldInvalid]:
    """Return why a charge of `prices`, prorated by the field `path`, cannot be on `meter`."""
    problems = []
    if meter.aggregation is Aggregation.WEIGHTED_SUM:
        problems.append("weighs by time already")
    elif meter.aggregation not in PRORATED:
        problems.append(f"is a {meter.aggregation.name}, not a SUM or UNIQUE_COUNT")
    if not meter.recurring:
        problems.append("does not recur, so that nothing of it lasts")
    if meter.rounding is not None and any(weighs_entries(price) for price in prices):
        problems.append("rounds units, while a prorated graduated price weighs each event")
    return [FieldInvalid(path, f"the meter {meter.code} {problem}") for problem in problems]
