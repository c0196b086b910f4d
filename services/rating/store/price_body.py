"""Prices and options of charges as JSON: decimals are texts, so that they stay exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, assert_never

from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.custom import CustomPrice
from services.rating.domain.dynamic import DynamicPrice
from services.rating.domain.graduated_percentage import GraduatedPercentagePrice, RateTier
from services.rating.domain.instant_charge import InstantTerms, Settle
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    StandardPrice,
    Tier,
    VolumePrice,
)
from services.rating.domain.price_options import (
    Conversion,
    ConversionRounding,
    PriceOptions,
    PricingUnit,
)

Json = Mapping[str, Any]


def write_price(price: ChargePrice) -> Json:
    """Return a price as JSON."""
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
        case PercentagePrice():
            return {
                "model": "percentage",
                "rate_percent": str(price.rate_percent),
                "fixed_amount": str(price.fixed_amount),
                "free_events": price.free_events,
                "free_amount": str(price.free_amount),
                "event_minimum": decimal_text(price.event_minimum),
                "event_maximum": decimal_text(price.event_maximum),
            }
        case GraduatedPercentagePrice():
            tiers = [
                [decimal_text(t.up_to), str(t.rate_percent), str(t.flat_amount)]
                for t in price.tiers
            ]
            return {"model": "graduated_percentage", "tiers": tiers}
        case DynamicPrice():
            return {"model": "dynamic", "multiplier": str(price.multiplier)}
        case CustomPrice():
            return {"model": "custom", "expression": price.expression}
        case _:
            assert_never(price)


def read_price(body: Json) -> ChargePrice:
    """Return a price as it was written."""
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
        case "percentage":
            return PercentagePrice(
                rate_percent=Decimal(body["rate_percent"]),
                fixed_amount=Decimal(body["fixed_amount"]),
                free_events=body["free_events"],
                free_amount=Decimal(body["free_amount"]),
                event_minimum=find_decimal(body["event_minimum"]),
                event_maximum=find_decimal(body["event_maximum"]),
            )
        case "graduated_percentage":
            tiers = body["tiers"]
            return GraduatedPercentagePrice(
                tuple(RateTier(find_decimal(t[0]), Decimal(t[1]), Decimal(t[2])) for t in tiers)
            )
        case "dynamic":
            return DynamicPrice(Decimal(body["multiplier"]))
        case "custom":
            return CustomPrice(body["expression"])
        case other:
            raise AssertionError(f"a stored price has the model {other}")


def write_options(options: PriceOptions) -> Json:
    """Return the options of a charge as JSON."""
    conversion = options.conversion
    return {
        "conversion": None
        if conversion is None
        else [str(conversion.multiplier), str(conversion.divisor), conversion.rounding],
        "usage_discount": str(options.usage_discount),
        "percentage_discount": str(options.percentage_discount),
        "maximum_amount": decimal_text(options.maximum_amount),
        "minimum_amount": decimal_text(options.minimum_amount),
        "pricing_unit": None
        if options.pricing_unit is None
        else [options.pricing_unit.code, str(options.pricing_unit.conversion_rate)],
    }


def read_options(body: Json) -> PriceOptions:
    """Return options as they were written."""
    conversion = body["conversion"]
    if conversion is not None:
        multiplier, divisor, rounding = conversion
        conversion = Conversion(Decimal(multiplier), Decimal(divisor), ConversionRounding(rounding))
    unit = body["pricing_unit"]
    return PriceOptions(
        conversion=conversion,
        usage_discount=Decimal(body["usage_discount"]),
        percentage_discount=Decimal(body["percentage_discount"]),
        maximum_amount=find_decimal(body["maximum_amount"]),
        minimum_amount=find_decimal(body["minimum_amount"]),
        pricing_unit=None if unit is None else PricingUnit(unit[0], Decimal(unit[1])),
    )


def write_instant(terms: InstantTerms | None) -> Json | None:
    """Return how an instant charge is billed as JSON."""
    if terms is None:
        return None
    return {
        "settle": terms.settle,
        "settle_amount": decimal_text(terms.settle_amount),
        "invoiced": terms.invoiced,
    }


def read_instant(body: Json | None) -> InstantTerms | None:
    """Return the terms of an instant charge as they were written."""
    if body is None:
        return None
    amount = find_decimal(body["settle_amount"])
    return InstantTerms(Settle(body["settle"]), amount, body["invoiced"])


def decimal_text(value: Decimal | None) -> str | None:
    """Return a decimal with all its digits; None stays None."""
    return None if value is None else str(value)


def find_decimal(text: str | None) -> Decimal | None:
    """Return what `decimal_text` wrote."""
    return None if text is None else Decimal(text)


def _write_tiers(tiers: Sequence[Tier]) -> list[list[str | None]]:
    return [
        [decimal_text(t.up_to), str(t.unit_amount), str(t.flat_amount), decimal_text(t.flat_cap)]
        for t in tiers
    ]


def _read_tiers(tiers: Sequence[Sequence[str]]) -> tuple[Tier, ...]:
    return tuple(
        Tier(find_decimal(up_to), Decimal(unit_amount), Decimal(flat_amount), find_decimal(cap))
        for up_to, unit_amount, flat_amount, cap in tiers
    )
