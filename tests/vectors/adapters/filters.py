"""Charges with a price for each filter, and groups of usage that are priced apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from libs.money import round_minor
from services.rating.domain.cell import Cell, merged
from services.rating.domain.counting import cell_of
from services.rating.domain.filters import ANY, DimensionFilter, choose_bucket
from services.rating.domain.meter import Meter
from services.rating.domain.price import StandardPrice, amount_of, rate
from services.rating.domain.usage import units
from tests.vectors.adapters.prices import total_of
from tests.vectors.adapters.recorded import (
    CURRENCY,
    events_of,
    groups_of,
    meter_of,
    period_of,
    time_of,
    with_dimensions,
)
from tests.vectors.given import Given


@dataclass(frozen=True, slots=True)
class _Bucket:
    """A filter's price, or that of the rest, which has no name."""

    name: str | None
    price: StandardPrice
    group_keys: tuple[str, ...]


def charge_by_filter(given: Given) -> dict[str, Any]:
    """Price the events of a period by the filter that each goes to."""
    period = period_of(given.inner("period"))
    listed: Mapping[str, Sequence[str]] = given.value("allowed_values")
    default = _bucket(None, given.inner("charge"))
    buckets, filters = [], []
    for each in given.each("filters"):
        filters.append(_filters(each.value("values"), listed))
        buckets.append(_bucket(each.text("name"), each.inner("charge")))
    grouping = (key for bucket in (*buckets, default) for key in bucket.group_keys)
    keys = list(dict.fromkeys([*listed, *grouping]))
    meter = with_dimensions(meter_of(given), keys)
    cells: dict[int | None, list[Cell]] = {}
    for event in events_of(given.each("events")):
        cell = cell_of(event, meter)
        if cell is not None and time_of(event) in period:
            bucket = choose_bucket(filters, dict(zip(keys, cell.dimensions, strict=True)))
            cells.setdefault(bucket, []).append(cell)
    shown = [
        _priced(bucket, cells.get(place, ()), meter)
        for place, bucket in [*enumerate(buckets), (None, default)]
    ]
    return {
        "buckets": shown,
        "units": total_of([bucket["units"] for bucket in shown]),
        "amount_cents": sum(bucket["amount_cents"] for bucket in shown),
    }


def _filters(
    values: Mapping[str, Sequence[str]], listed: Mapping[str, Sequence[str]]
) -> list[DimensionFilter]:
    """Read a filter; every value of a property whose values are listed is each of the list."""
    return [
        DimensionFilter(key, frozenset(listed.get(key, [ANY]) if named == [ANY] else named))
        for key, named in values.items()
    ]


def _bucket(name: str | None, charge: Given) -> _Bucket:
    if charge.text("model") != "standard":
        raise ValueError(f"the model {charge.text('model')} is unknown here")
    keys = charge.value("pricing_group_keys") if charge.has("pricing_group_keys") else ()
    return _Bucket(name, StandardPrice(charge.decimal("unit_amount")), tuple(keys))


def _priced(bucket: _Bucket, cells: Sequence[Cell], meter: Meter) -> dict[str, Any]:
    groups = groups_of(cells, meter, bucket.group_keys)
    priced = [
        {
            "key": {
                key: value or None for key, value in zip(bucket.group_keys, values, strict=True)
            },
            "units": units(usage, meter),
            "amount_cents": _cents(bucket, units(usage, meter)),
        }
        for values, usage in groups.items()
    ]
    return {
        "name": bucket.name,
        "units": units(merged(cells), meter),
        "amount_cents": sum(group["amount_cents"] for group in priced),
        "groups": priced,
    }


def _cents(bucket: _Bucket, quantity: Decimal) -> int:
    return round_minor(amount_of(rate(bucket.price, quantity)), CURRENCY)
