"""Prices of all models, and what of a period's usage they look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from libs.errors import FieldInvalid
from libs.money import EXACT
from services.rating.domain.custom import NOTHING, CustomPrice, Part, custom_faults, rate_custom
from services.rating.domain.dynamic import DynamicPrice, dynamic_faults, rate_dynamic
from services.rating.domain.graduated_percentage import (
    GraduatedPercentagePrice,
    graduated_percentage_faults,
    rate_graduated_percentage,
)
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.percentage import (
    NONE_FREE,
    PercentagePrice,
    percentage_faults,
    rate_events,
    rate_percentage,
)
from services.rating.domain.price import (
    ZERO,
    GraduatedPrice,
    PackagePrice,
    Price,
    Row,
    StandardPrice,
    VolumePrice,
    amount_of,
    rate,
    rate_volume,
    row_of,
)
from services.rating.domain.price_options import PriceOptions, adjust, units_to_price
from services.rating.domain.prorated_graduated import rate_prorated_graduated
from services.rating.domain.proration import Entry

ChargePrice = Price | PercentagePrice | GraduatedPercentagePrice | DynamicPrice | CustomPrice

NO_OPTIONS = PriceOptions()
ADDING_UP = (Aggregation.COUNT, Aggregation.SUM)  # Units are the sum of those of single events.


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of one bucket in a period; all but units and events only where a price looks at it."""

    units: Decimal = ZERO
    event_count: int = 0
    amount: Decimal = ZERO  # Sum of the events' own amounts.
    values: Sequence[Decimal] = ()  # What each event counts, in (time, log) order.
    parts: Sequence[Part] = (NOTHING,)  # For a custom price.
    full_units: Decimal | None = None  # Of prorated units, without their weights.
    entries: Sequence[Entry] | None = None  # Of prorated units, for a graduated price.


NO_USAGE = Usage()


def reads_events(price: ChargePrice) -> bool:
    """Tell whether the price looks at single events, in their order."""
    if not isinstance(price, PercentagePrice):
        return False
    return bool(price.free_events or price.free_amount) or price.bounded


def weighs_entries(price: ChargePrice) -> bool:
    """Tell whether the price, of a prorated charge, looks at single events in their order."""
    return isinstance(price, GraduatedPrice)


def needs_more_than_units(price: ChargePrice) -> bool:
    """Tell whether the price looks at more than how many units and events there are."""
    by_dimension = isinstance(price, CustomPrice) and bool(price.dimensions)
    return reads_events(price) or by_dimension or isinstance(price, DynamicPrice)


def price_usage(
    price: ChargePrice, options: PriceOptions, usage: Usage, *, billed: Decimal = ZERO
) -> tuple[Row, ...]:
    """Price `usage` with the options of its charge, but for the minimum.

    `billed` is what the charge's other buckets cost, for its maximum.

    Raises:
        PriceNotComputable: a custom price has no value.
    """
    told = _told_of_weights(usage)
    if options.conversion is not None or options.usage_discount:
        left = units_to_price(options, usage.units)
        if options.conversion is not None:
            told.append(row_of("converted", EXACT.add(left.units, left.free), ZERO))
        if left.free:
            told.append(row_of("free", left.free, ZERO))
        full = usage.full_units
        if full is not None:
            full = units_to_price(options, full).units
        usage = Usage(left.units, usage.event_count, full_units=full)
    rows = rate_usage(price, usage)
    return adjust((*told, *rows), options, billed=billed, closing=False)


def rate_usage(price: ChargePrice, usage: Usage) -> tuple[Row, ...]:
    """Price `usage` by any model."""
    match price:
        case VolumePrice() if usage.full_units is not None:
            return rate_volume(price, usage.units, full_units=usage.full_units)
        case GraduatedPrice() if usage.entries is not None:
            return rate_prorated_graduated(price, usage.entries)
        case StandardPrice() | PackagePrice() | GraduatedPrice() | VolumePrice():
            return rate(price, usage.units)
        case PercentagePrice() if reads_events(price):
            return rate_events(price, usage.values)
        case PercentagePrice():
            return rate_percentage(price, usage.units, usage.event_count, NONE_FREE)
        case GraduatedPercentagePrice():
            return rate_graduated_percentage(price, usage.units)
        case DynamicPrice():
            return rate_dynamic(price, usage.units, usage.amount)
        case CustomPrice():
            return rate_custom(price, usage.parts)
        case _:
            assert_never(price)


def costs_something(price: ChargePrice, options: PriceOptions) -> bool:
    """Tell whether no usage at all has a price: the flat amount of a first tier."""
    if isinstance(price, CustomPrice) and price.dimensions:
        return False  # There is no combination of their values.
    return amount_of(price_usage(price, options, NO_USAGE)) > 0


def model_faults(price: ChargePrice, path: str) -> list[FieldInvalid]:
    """Return every rule that the price breaks for itself, below `path`; not those of `Price`."""
    match price:
        case PercentagePrice():
            return percentage_faults(price, path)
        case GraduatedPercentagePrice():
            return graduated_percentage_faults(price, path)
        case DynamicPrice():
            return dynamic_faults(price, path)
        case CustomPrice():
            return custom_faults(price, path)
        case _:
            return []


def meter_faults(price: ChargePrice, meter: Meter, path: str) -> list[FieldInvalid]:
    """Return every way in which the price, at `path`, does not fit what `meter` counts."""
    counted = meter.aggregation
    faults: list[FieldInvalid] = []
    match price:
        case PercentagePrice():
            if counted is Aggregation.LATEST:
                faults.append(_misfit(f"{path}.percentage", meter))
            elif reads_events(price) and not _adds_up(meter):
                problem = (
                    f"looks at single events, which the meter {meter.code} does not just add up"
                )
                faults.append(FieldInvalid(f"{path}.percentage", problem))
        case GraduatedPercentagePrice() if counted is Aggregation.LATEST:
            faults.append(_misfit(f"{path}.graduated_percentage", meter))
        case DynamicPrice() if counted not in ADDING_UP:
            faults.append(_misfit(f"{path}.dynamic", meter))
        case CustomPrice():
            known = {dimension.key for dimension in meter.dimensions}
            faults += [
                FieldInvalid(
                    f"{path}.custom.expression",
                    f"{key!r} is no dimension of the meter {meter.code}",
                )
                for key in sorted(price.dimensions - known)
            ]
    return faults


def conversion_faults(
    price: ChargePrice, options: PriceOptions, path: str, *, prorated: bool = False
) -> list[FieldInvalid]:
    """Return which options of the charge at `path` its price, or that of a bucket, cannot have."""
    faults = []
    if isinstance(price, DynamicPrice) and options.pricing_unit is not None:
        problem = "does not go with a dynamic price: events report amounts in currency"
        faults.append(FieldInvalid(f"{path}.pricing_unit", problem))
    looks = reads_events(price) or (prorated and weighs_entries(price))
    if not (isinstance(price, DynamicPrice | CustomPrice) or looks):
        return faults
    given = {"conversion": options.conversion is not None, "usage_discount": options.usage_discount}
    problem = "does not go with a dynamic or custom price, nor one that looks at single events"
    faults += [FieldInvalid(f"{path}.{name}", problem) for name, is_set in given.items() if is_set]
    return faults


def _told_of_weights(usage: Usage) -> list[Row]:
    """Return a row with prorated units, of the full ones."""
    if usage.full_units is None:
        return []
    return [row_of("prorated", usage.units, ZERO, up_to=usage.full_units)]


def _adds_up(meter: Meter) -> bool:
    """Tell whether its units are the sum of those of single events, with nothing in between."""
    plain = meter.day_bucket is None and meter.rounding is None and not meter.recurring
    return plain and meter.aggregation in ADDING_UP


def _misfit(field: str, meter: Meter) -> FieldInvalid:
    return FieldInvalid(field, f"does not go with the meter {meter.code}: {meter.aggregation.name}")
