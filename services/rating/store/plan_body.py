"""The body of a plan version as JSON: decimals are texts, so that they stay exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from services.rating.domain.filters import DimensionFilter
from services.rating.domain.plan import (
    Charge,
    FilterBucket,
    FixedCharge,
    FixedPrice,
    IntervalUnit,
    PlanVersion,
    Timing,
)
from services.rating.domain.price import Row
from services.rating.domain.thresholds import UsageThresholds
from services.rating.store.price_body import (
    decimal_text,
    find_decimal,
    read_instant,
    read_options,
    read_price,
    write_instant,
    write_options,
    write_price,
)

Json = Mapping[str, Any]


def write_body(version: PlanVersion) -> Json:
    """Return what of `version` is stored as JSON."""
    return {
        "interval_unit": version.interval_unit,
        "interval_count": version.interval_count,
        "base_amount": decimal_text(version.base_amount),
        "base_timing": version.base_timing,
        "charges": [_write_charge(charge) for charge in version.charges],
        "fixed_charges": [_write_fixed(charge) for charge in version.fixed_charges],
        "trial_days": version.trial_days,
        "bill_usage_monthly": version.bill_usage_monthly,
        "minimum_commitment": decimal_text(version.minimum_commitment),
        "usage_thresholds": _write_thresholds(version.usage_thresholds),
        "tax_codes": version.tax_codes,
    }


def read_body(row: Any) -> PlanVersion:
    """Return the plan version of a row of plan_versions."""
    body: Json = row.body
    timing = body["base_timing"]
    return PlanVersion(
        plan_version_id=row.plan_version_id,
        version=row.version,
        interval_unit=IntervalUnit(body["interval_unit"]),
        base_amount=find_decimal(body["base_amount"]),
        base_timing=None if timing is None else Timing(timing),
        charges=tuple(_read_charge(charge) for charge in body["charges"]),
        created_at=row.created_at,
        fixed_charges=tuple(_read_fixed(charge) for charge in body["fixed_charges"]),
        interval_count=body["interval_count"],
        trial_days=body["trial_days"],
        bill_usage_monthly=body["bill_usage_monthly"],
        minimum_commitment=find_decimal(body["minimum_commitment"]),
        usage_thresholds=_read_thresholds(body["usage_thresholds"]),
        tax_codes=tuple(body["tax_codes"]),
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
            "up_to": decimal_text(row.up_to),
            "pricing_unit": row.pricing_unit,
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
            up_to=find_decimal(row["up_to"]),
            pricing_unit=row["pricing_unit"],
        )
        for row in rows
    )


def _write_thresholds(thresholds: UsageThresholds | None) -> Json | None:
    if thresholds is None:
        return None
    amounts = [str(amount) for amount in thresholds.amounts]
    return {"amounts": amounts, "step": decimal_text(thresholds.step)}


def _read_thresholds(body: Json | None) -> UsageThresholds | None:
    if body is None:
        return None
    return UsageThresholds(tuple(map(Decimal, body["amounts"])), find_decimal(body["step"]))


def _write_charge(charge: Charge) -> Json:
    return {
        "code": charge.code,
        "meter_code": charge.meter_code,
        "display_name": charge.display_name,
        "price": write_price(charge.price),
        "buckets": [
            {
                "code": bucket.code,
                "filters": [[each.key, sorted(each.values)] for each in bucket.filters],
                "price": write_price(bucket.price),
            }
            for bucket in charge.buckets
        ],
        "options": write_options(charge.options),
        "group_by": charge.group_by,
        "prorated": charge.prorated,
        "instant": write_instant(charge.instant),
        "tax_codes": charge.tax_codes,
    }


def _write_fixed(charge: FixedCharge) -> Json:
    return {
        "code": charge.code,
        "display_name": charge.display_name,
        "price": write_price(charge.price),
        "units": str(charge.units),
        "timing": charge.timing,
        "prorated": charge.prorated,
        "tax_codes": charge.tax_codes,
    }


def _read_fixed(body: Json) -> FixedCharge:
    price = read_price(body["price"])
    assert isinstance(price, FixedPrice), "checked when it was written"
    return FixedCharge(
        code=body["code"],
        display_name=body["display_name"],
        price=price,
        units=Decimal(body["units"]),
        timing=Timing(body["timing"]),
        prorated=body["prorated"],
        tax_codes=tuple(body["tax_codes"]),
    )


def _read_charge(body: Json) -> Charge:
    return Charge(
        code=body["code"],
        meter_code=body["meter_code"],
        display_name=body["display_name"],
        price=read_price(body["price"]),
        buckets=tuple(
            FilterBucket(
                code=bucket["code"],
                filters=tuple(
                    DimensionFilter(key, frozenset(values)) for key, values in bucket["filters"]
                ),
                price=read_price(bucket["price"]),
            )
            for bucket in body["buckets"]
        ),
        options=read_options(body["options"]),
        group_by=tuple(body["group_by"]),
        prorated=body["prorated"],
        instant=read_instant(body["instant"]),
        tax_codes=tuple(body["tax_codes"]),
    )
