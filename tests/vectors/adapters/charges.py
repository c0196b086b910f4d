"""Charge models as Lago has them: a charge and aggregated units, or events, to an amount."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from libs.money import exponent, round_minor
from services.rating.domain.dynamic import DynamicPrice, rate_dynamic
from services.rating.domain.graduated_percentage import (
    GraduatedPercentagePrice,
    RateTier,
    rate_graduated_percentage,
)
from services.rating.domain.percentage import event_amounts, free_of, rate_events
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
from tests.vectors.adapters.prices import ZERO, per_unit, percentage_of, tiers_of, total_of
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


def price_percentage(given: Given) -> dict[str, Any]:
    """Price events, each by its value, in time order."""
    charge = given.inner("charge")
    if charge.text("model") != "percentage":
        raise ValueError(f"the model {charge.text('model')} has no events")
    price = percentage_of(charge)
    values = given.decimals("event_values")
    rows = rate_events(price, values)
    amount = amount_of(rows)
    steps = {row.label: row for row in rows}
    return {
        "amount": amount,
        "unit_amount": per_unit(amount, total_of(values)),
        "free_units": steps["free"].units if "free" in steps else ZERO,
        "free_events": free_of(price, values).events,
        "percentage_amount": steps["percentage"].amount,
        "fixed_total": steps["fixed"].amount if "fixed" in steps else ZERO,
        "event_amounts": event_amounts(price, values),
    }


def _rate_tiers(charge: Given) -> tuple[RateTier, ...]:
    return tuple(
        RateTier(
            up_to=tier.find_decimal("up_to"),
            rate_percent=tier.decimal("rate_percent"),
            flat_amount=tier.decimal("flat_amount"),
        )
        for tier in charge.each("tiers")
    )


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
        case "graduated_percentage":
            price = GraduatedPercentagePrice(_rate_tiers(charge))
            rows = rate_graduated_percentage(price, units)
        case "dynamic":
            amount = given.decimal("precise_total_amount_cents").scaleb(-exponent(CURRENCY))
            rows = rate_dynamic(DynamicPrice(), units, amount)
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
