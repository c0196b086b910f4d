"""Reading prices and options of charges: every fault of one is found at once, by field path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from libs.errors import FieldInvalid
from libs.wire import Faults, parse_code, parse_decimal, parse_enum
from services.rating.domain.charge_price import ChargePrice, model_faults
from services.rating.domain.custom import CustomPrice
from services.rating.domain.dynamic import DynamicPrice
from services.rating.domain.graduated_percentage import GraduatedPercentagePrice, RateTier
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.price import (
    ONE,
    TIERS_MAX,
    ZERO,
    GraduatedPrice,
    PackagePrice,
    StandardPrice,
    Tier,
    VolumePrice,
    tier_faults,
)
from services.rating.domain.price_options import (
    Conversion,
    ConversionRounding,
    PriceOptions,
    PricingUnit,
    option_faults,
)
from tally.rating.v1 import charge_options_pb2 as options_pb
from tally.rating.v1 import plan_service_pb2 as pb
from tally.rating.v1 import price_models_pb2 as models_pb

M = TypeVar("M")
T = TypeVar("T")


def parse_price(message: pb.Price, path: str) -> ChargePrice:
    """Read a price of any model.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault, below `path`.
    """
    model = message.WhichOneof("model")
    if model is None:
        raise FieldInvalid(path, "is missing")
    price = _parse_model(message, model, f"{path}.{model}")
    _check(model_faults(price, f"{path}.{model}"))
    return price


def parse_options(message: pb.Charge, path: str) -> PriceOptions:
    """Read the options of a charge. Errors: as `parse_price`."""
    faults = Faults()
    conversion = None
    with faults.gathered():
        if message.HasField("conversion"):
            conversion = _parse_conversion(message.conversion, f"{path}.conversion")
    unit = None
    with faults.gathered():
        if message.HasField("pricing_unit"):
            unit = _parse_pricing_unit(message.pricing_unit, f"{path}.pricing_unit")
    numbers = _Numbers(message, path, faults)
    options = PriceOptions(
        conversion=conversion,
        usage_discount=numbers.find("usage_discount") or ZERO,
        percentage_discount=numbers.find("percentage_discount") or ZERO,
        maximum_amount=numbers.find("maximum_amount"),
        minimum_amount=numbers.find("minimum_amount"),
        pricing_unit=unit,
    )
    faults.check()
    _check(option_faults(options, path))
    return options


def parse_optional(text: str, path: str) -> Decimal | None:
    """Read a decimal that is not negative; None if it is left out."""
    return parse_decimal(text, path, at_least=ZERO) if text else None


class _Numbers:
    """Reads the decimals of a message, none of them negative, and gathers what is wrong."""

    def __init__(self, message: object, path: str, faults: Faults) -> None:
        self._message = message
        self._path = path
        self._faults = faults

    def find(self, name: str) -> Decimal | None:
        """Read the field `name`; None if it is left out."""
        with self._faults.gathered():
            return parse_optional(getattr(self._message, name), f"{self._path}.{name}")
        return None

    def needed(self, name: str) -> Decimal:
        """Read the field `name`, which must be there; 0 if it cannot be read."""
        with self._faults.gathered():
            text = getattr(self._message, name)
            return parse_decimal(text, f"{self._path}.{name}", at_least=ZERO)
        return ZERO


def _parse_model(message: pb.Price, model: str, path: str) -> ChargePrice:
    match model:
        case "standard":
            amount = message.standard.unit_amount
            return StandardPrice(parse_decimal(amount, f"{path}.unit_amount", at_least=ZERO))
        case "package":
            return _parse_package(message.package, path)
        case "graduated":
            return GraduatedPrice(_parse_tiers(message.graduated, path))
        case "volume":
            return VolumePrice(_parse_tiers(message.volume, path))
        case "percentage":
            return _parse_percentage(message.percentage, path)
        case "graduated_percentage":
            rates = message.graduated_percentage.tiers
            return GraduatedPercentagePrice(_parse_each(rates, _parse_rate_tier, f"{path}.tiers"))
        case "dynamic":
            multiplier = parse_optional(message.dynamic.multiplier, f"{path}.multiplier")
            return DynamicPrice(ONE if multiplier is None else multiplier)
        case "custom":
            return CustomPrice(message.custom.expression)
        case other:
            raise AssertionError(f"the contract has no model {other}")


def _parse_package(message: pb.PackagePrice, path: str) -> PackagePrice:
    faults = Faults()
    numbers = _Numbers(message, path, faults)
    amount, free_units = numbers.needed("amount"), numbers.find("free_units") or ZERO
    with faults.gathered():
        size = parse_decimal(message.package_size, f"{path}.package_size", above=ZERO)
    faults.check()
    return PackagePrice(amount, size, free_units)


def _parse_percentage(message: models_pb.PercentagePrice, path: str) -> PercentagePrice:
    faults = Faults()
    numbers = _Numbers(message, path, faults)
    price = PercentagePrice(
        rate_percent=numbers.needed("rate_percent"),
        fixed_amount=numbers.find("fixed_amount") or ZERO,
        free_events=message.free_events,
        free_amount=numbers.find("free_amount") or ZERO,
        event_minimum=numbers.find("event_minimum"),
        event_maximum=numbers.find("event_maximum"),
    )
    faults.check()
    return price


def _parse_tiers(message: pb.TieredPrice, path: str) -> tuple[Tier, ...]:
    tiers = _parse_each(message.tiers, _parse_tier, f"{path}.tiers")
    _check(tier_faults(tiers, f"{path}.tiers"))
    return tiers


def _parse_each(messages: Sequence[M], parse: Callable[[M, str], T], path: str) -> tuple[T, ...]:
    """Read tiers; none at all is refused by the rules of their price."""
    if len(messages) > TIERS_MAX:
        raise FieldInvalid(path, f"are {len(messages)}, at most {TIERS_MAX} are allowed")
    faults = Faults()
    found: list[T] = []
    for place, each in enumerate(messages):
        with faults.gathered():
            found.append(parse(each, f"{path}[{place}]"))
    faults.check()
    return tuple(found)


def _parse_tier(message: pb.Tier, path: str) -> Tier:
    faults = Faults()
    numbers = _Numbers(message, path, faults)
    tier = Tier(
        up_to=numbers.find("up_to"),
        unit_amount=numbers.find("unit_amount") or ZERO,
        flat_amount=numbers.find("flat_amount") or ZERO,
        flat_cap=numbers.find("flat_cap"),
    )
    faults.check()
    return tier


def _parse_rate_tier(message: models_pb.RateTier, path: str) -> RateTier:
    faults = Faults()
    numbers = _Numbers(message, path, faults)
    tier = RateTier(
        up_to=numbers.find("up_to"),
        rate_percent=numbers.find("rate_percent") or ZERO,
        flat_amount=numbers.find("flat_amount") or ZERO,
    )
    faults.check()
    return tier


def _parse_conversion(message: options_pb.UnitConversion, path: str) -> Conversion:
    faults = Faults()
    factors = {"multiplier": ONE, "divisor": ONE}
    for name in factors:
        with faults.gathered():
            if text := getattr(message, name):
                factors[name] = parse_decimal(text, f"{path}.{name}", above=ZERO)
    rounding = ConversionRounding.NONE
    with faults.gathered():
        if message.rounding:
            name = parse_enum(
                message.rounding,
                options_pb.ConversionRounding,
                f"{path}.rounding",
                prefix="CONVERSION_ROUNDING_",
            )
            rounding = ConversionRounding(name)
    faults.check()
    return Conversion(factors["multiplier"], factors["divisor"], rounding)


def _parse_pricing_unit(message: options_pb.PricingUnit, path: str) -> PricingUnit:
    faults = Faults()
    with faults.gathered():
        code = parse_code(message.code, f"{path}.code")
    with faults.gathered():
        rate = parse_decimal(message.conversion_rate, f"{path}.conversion_rate", above=ZERO)
    faults.check()
    return PricingUnit(code, rate)


def _check(found: Iterable[FieldInvalid]) -> None:
    faults = Faults()
    for fault in found:
        faults.add(fault.field, fault.problem)
    faults.check()
