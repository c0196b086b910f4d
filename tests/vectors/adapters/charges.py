"""Charge models as Lago has them: a charge and aggregated units, or events, to an amount."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from libs.money import round_minor
from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    Row,
    StandardPrice,
    VolumePrice,
    amount_of,
    rate,
    rate_volume,
)
from tests.vectors.adapters.prices import ZERO, per_unit, tiers_of, total_of
from tests.vectors.given import Given

CURRENCY = "USD"


def price_charge(given: Given) -> dict[str, Any]:
    """Price a charge by its model, for each group if there are any."""
    charge = given.inner("charge")
    if not given.has("group_units"):
        return _priced(charge, given)
    groups = [
        {"key": group.value("key"), **_priced(charge, group)} for group in given.each("group_units")
    ]
    return {
        "groups": groups,
        "amount": total_of([group["amount"] for group in groups]),
        "amount_cents": sum(group["amount_cents"] for group in groups),
        "units": total_of([group["units"] for group in groups]),
    }


def _priced(charge: Given, given: Given) -> dict[str, Any]:
    if given.has("events_count"):
        given.value("events_count")  # For people: no model of these depends on it.
    units = given.decimal("units")
    full_units = given.find_decimal("full_units")
    billed = units if full_units is None else full_units
    match charge.text("model"):
        case "standard":
            rows = rate(StandardPrice(charge.decimal("unit_amount")), units)
        case "graduated":
            rows = rate(GraduatedPrice(tiers_of(charge)), units)
        case "volume":
            rows = rate_volume(VolumePrice(tiers_of(charge)), units, full_units=billed)
        case "package":
            package = PackagePrice(
                amount=charge.decimal("package_amount"),
                package_size=charge.decimal("package_size"),
                free_units=charge.decimal("free_units"),
            )
            rows = rate(package, units)
            billed -= package.free_units
        case model:
            raise ValueError(f"the model {model} is unknown")
    return _shown(rows, units, billed)


def _shown(rows: Sequence[Row], units: Decimal, billed: Decimal) -> dict[str, Any]:
    amount = amount_of(rows)
    packages = [row.units for row in rows if row.label == "package"]
    return {
        "amount": amount,
        "amount_cents": round_minor(amount, CURRENCY),
        "units": units,
        "unit_amount": per_unit(amount, billed),
        "packages": packages[0] if packages else ZERO,
        "tiers": [
            {"units": row.units, "amount": row.amount - row.flat_amount, "total": row.amount}
            for row in rows
            if row.label == "tier"
        ],
    }
