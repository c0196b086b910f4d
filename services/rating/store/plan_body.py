"""The body of a plan version as JSON: decimals are texts, so that they stay exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, assert_never

from services.rating.domain.filters import DimensionFilter
from services.rating.domain.plan import Charge, FilterBucket, IntervalUnit, PlanVersion, Timing
from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    Price,
    Row,
    StandardPrice,
    Tier,
    VolumePrice,
)

Json = Mapping[str, Any]


def write_body(version: PlanVersion) -> Json:
    """Return what of `version` is stored as JSON."""
    return {
        "interval_unit": version.interval_unit,
        "base_amount": _text(version.base_amount),
        "base_timing": version.base_timing,
        "charges": [_write_charge(charge) for charge in version.charges],
    }


def read_body(row: Any) -> PlanVersion:
    """Return the plan version of a row of plan_versions."""
    body: Json = row.body
    timing = body["base_timing"]
    return PlanVersion(
        plan_version_id=row.plan_version_id,
        version=row.version,
        interval_unit=IntervalUnit(body["interval_unit"]),
        base_amount=_decimal(body["base_amount"]),
        base_timing=None if timing is None else Timing(timing),
        charges=tuple(_read_charge(charge) for charge in body["charges"]),
        created_at=row.created_at,
    )


def write_rows(rows: Sequence[Row]) -> list[Json]:
    """Return the breakdown of a fee as JSON."""
    return [
        {
            "label": row.label,
            "units": str(row.units),
            "unit_amount": str(row.unit_amount),
            "flat_amount": str(row.flat_amount),
            "amount": str(row.amount),
            "up_to": _text(row.up_to),
        }
        for row in rows
    ]


def read_rows(rows: Sequence[Json]) -> tuple[Row, ...]:
    """Return a breakdown as it was written."""
    return tuple(
        Row(
            label=row["label"],
            units=Decimal(row["units"]),
            unit_amount=Decimal(row["unit_amount"]),
            flat_amount=Decimal(row["flat_amount"]),
            amount=Decimal(row["amount"]),
            up_to=_decimal(row["up_to"]),
        )
        for row in rows
    )


def _write_charge(charge: Charge) -> Json:
    return {
        "code": charge.code,
        "meter_code": charge.meter_code,
        "display_name": charge.display_name,
        "price": _write_price(charge.price),
        "buckets": [
            {
                "code": bucket.code,
                "filters": [[each.key, sorted(each.values)] for each in bucket.filters],
                "price": _write_price(bucket.price),
            }
            for bucket in charge.buckets
        ],
    }


def _read_charge(body: Json) -> Charge:
    return Charge(
        code=body["code"],
        meter_code=body["meter_code"],
        display_name=body["display_name"],
        price=_read_price(body["price"]),
        buckets=tuple(
            FilterBucket(
                code=bucket["code"],
                filters=tuple(
                    DimensionFilter(key, frozenset(values)) for key, values in bucket["filters"]
                ),
                price=_read_price(bucket["price"]),
            )
            for bucket in body["buckets"]
        ),
    )


def _write_price(price: Price) -> Json:
    match price:
        case StandardPrice():
            return {"model": "standard", "unit_amount": str(price.unit_amount)}
        case PackagePrice():
            return {
                "model": "package",
                "amount": str(price.amount),
                "package_size": str(price.package_size),
                "free_units": str(price.free_units),
            }
        case GraduatedPrice():
            return {"model": "graduated", "tiers": _write_tiers(price.tiers)}
        case VolumePrice():
            return {"model": "volume", "tiers": _write_tiers(price.tiers)}
        case _:
            assert_never(price)


def _read_price(body: Json) -> Price:
    match body["model"]:
        case "standard":
            return StandardPrice(Decimal(body["unit_amount"]))
        case "package":
            return PackagePrice(
                amount=Decimal(body["amount"]),
                package_size=Decimal(body["package_size"]),
                free_units=Decimal(body["free_units"]),
            )
        case "graduated":
            return GraduatedPrice(_read_tiers(body["tiers"]))
        case "volume":
            return VolumePrice(_read_tiers(body["tiers"]))
        case other:
            raise AssertionError(f"a stored price has the model {other}")


def _write_tiers(tiers: Sequence[Tier]) -> list[list[str | None]]:
    return [[_text(t.up_to), str(t.unit_amount), str(t.flat_amount)] for t in tiers]


def _read_tiers(tiers: Sequence[Sequence[str]]) -> tuple[Tier, ...]:
    return tuple(
        Tier(_decimal(up_to), Decimal(unit_amount), Decimal(flat_amount))
        for up_to, unit_amount, flat_amount in tiers
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
