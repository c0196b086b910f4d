"""Prices and options of charges as messages of the contract."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, assert_never

from libs.quantity import decimal_text
from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.custom import CustomPrice
from services.rating.domain.dynamic import DynamicPrice
from services.rating.domain.graduated_percentage import GraduatedPercentagePrice
from services.rating.domain.instant_charge import InstantTerms
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    StandardPrice,
    VolumePrice,
)
from services.rating.domain.price_options import Conversion, ConversionRounding, PriceOptions
from tally.rating.v1 import charge_options_pb2 as options_pb
from tally.rating.v1 import plan_service_pb2 as pb
from tally.rating.v1 import price_models_pb2 as models_pb

ROUNDINGS = {
    ConversionRounding.NONE: options_pb.CONVERSION_ROUNDING_UNSPECIFIED,
    ConversionRounding.UP: options_pb.CONVERSION_ROUNDING_UP,
    ConversionRounding.DOWN: options_pb.CONVERSION_ROUNDING_DOWN,
    ConversionRounding.HALF_UP: options_pb.CONVERSION_ROUNDING_HALF_UP,
}


def price_message(price: ChargePrice) -> pb.Price:
    """Write a price."""
    match price:
        case StandardPrice():
            unit_amount = decimal_text(price.unit_amount)
            return pb.Price(standard=pb.StandardPrice(unit_amount=unit_amount))
        case PackagePrice():
            return pb.Price(
                package=pb.PackagePrice(
                    amount=decimal_text(price.amount),
                    package_size=decimal_text(price.package_size),
                    free_units=decimal_text(price.free_units),
                )
            )
        case GraduatedPrice():
            return pb.Price(graduated=_tiers_message(price))
        case VolumePrice():
            return pb.Price(volume=_tiers_message(price))
        case PercentagePrice():
            return pb.Price(percentage=_percentage_message(price))
        case GraduatedPercentagePrice():
            return pb.Price(graduated_percentage=_rates_message(price))
        case DynamicPrice():
            return pb.Price(
                dynamic=models_pb.DynamicPrice(multiplier=decimal_text(price.multiplier))
            )
        case CustomPrice():
            return pb.Price(custom=models_pb.CustomPrice(expression=price.expression))
        case _:
            assert_never(price)


def options_fields(options: PriceOptions) -> dict[str, Any]:
    """Write what of `options` is set, as fields of a charge."""
    fields: dict[str, Any] = {
        "maximum_amount": _optional(options.maximum_amount),
        "minimum_amount": _optional(options.minimum_amount),
    }
    for name in ("usage_discount", "percentage_discount"):
        fields[name] = _optional(getattr(options, name) or None)
    if options.conversion is not None:
        fields["conversion"] = _conversion_message(options.conversion)
    unit = options.pricing_unit
    if unit is not None:
        rate = decimal_text(unit.conversion_rate)
        fields["pricing_unit"] = options_pb.PricingUnit(code=unit.code, conversion_rate=rate)
    return fields


def instant_fields(terms: InstantTerms | None) -> dict[str, Any]:
    """Write what makes a charge instant, as fields of it."""
    if terms is None:
        return {}
    return {
        "pay_in_advance": True,
        "settle": options_pb.Settle.Value(f"SETTLE_{terms.settle.name}"),
        "settle_amount": _optional(terms.settle_amount),
        "not_invoiced": not terms.invoiced,
    }


def _conversion_message(conversion: Conversion) -> options_pb.UnitConversion:
    return options_pb.UnitConversion(
        multiplier=decimal_text(conversion.multiplier),
        divisor=decimal_text(conversion.divisor),
        rounding=ROUNDINGS[conversion.rounding],
    )


def _tiers_message(price: GraduatedPrice | VolumePrice) -> pb.TieredPrice:
    return pb.TieredPrice(
        tiers=[
            pb.Tier(
                up_to=_optional(tier.up_to),
                unit_amount=decimal_text(tier.unit_amount),
                flat_amount=decimal_text(tier.flat_amount),
                flat_cap=_optional(tier.flat_cap),
            )
            for tier in price.tiers
        ]
    )


def _percentage_message(price: PercentagePrice) -> models_pb.PercentagePrice:
    return models_pb.PercentagePrice(
        rate_percent=decimal_text(price.rate_percent),
        fixed_amount=decimal_text(price.fixed_amount),
        free_events=price.free_events,
        free_amount=decimal_text(price.free_amount),
        event_minimum=_optional(price.event_minimum),
        event_maximum=_optional(price.event_maximum),
    )


def _rates_message(price: GraduatedPercentagePrice) -> models_pb.GraduatedPercentagePrice:
    return models_pb.GraduatedPercentagePrice(
        tiers=[
            models_pb.RateTier(
                up_to=_optional(tier.up_to),
                rate_percent=decimal_text(tier.rate_percent),
                flat_amount=decimal_text(tier.flat_amount),
            )
            for tier in price.tiers
        ]
    )


def _optional(value: Decimal | None) -> str:
    return "" if value is None else decimal_text(value)
