"""Meters, plans and prices as a story gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tally.rating.v1.charge_options_pb2 import Settle
from tally.rating.v1.meter_service_pb2 import Aggregation, Dimension, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    DimensionFilter,
    FilterBucket,
    FixedCharge,
    IntervalUnit,
    PackagePrice,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
    Timing,
)
from tally.rating.v1.price_models_pb2 import (
    DynamicPrice,
    GraduatedPercentagePrice,
    PercentagePrice,
    RateTier,
)
from tally.rating.v1.threshold_pb2 import UsageThresholds
from tests.vectors.given import Given

CURRENCY = "EUR"
INTERVALS = {
    "weekly": IntervalUnit.INTERVAL_UNIT_WEEK,
    "monthly": IntervalUnit.INTERVAL_UNIT_MONTH,
    "quarterly": IntervalUnit.INTERVAL_UNIT_QUARTER,
    "semiannual": IntervalUnit.INTERVAL_UNIT_HALF_YEAR,
    "yearly": IntervalUnit.INTERVAL_UNIT_YEAR,
}
AGGREGATIONS = {
    "count": Aggregation.AGGREGATION_COUNT,
    "sum": Aggregation.AGGREGATION_SUM,
    "latest": Aggregation.AGGREGATION_LATEST,
    "unique_count": Aggregation.AGGREGATION_UNIQUE_COUNT,
}
ANY_CENTS = 1_000  # Of a plan whose base amount is anything above zero.


def amount_of(cents: int) -> str:
    """Return cents as a decimal of the currency."""
    return str(Decimal(cents) / 100)


def tax_code(rate: str) -> str:
    """Return the code of the tax of a rate that plans and charges name."""
    return f"tax-of-{rate}"


def rates_of(plans: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the tax rates that plans and their charges name."""
    naming = [one for plan in plans for one in (plan, *plan["charges"])]
    return {rate for one in naming for rate in one.get("tax_rates", ())}


def meter_of(given: Given, dimensions: Iterable[str]) -> Meter:
    """Read a meter; its events have its code as their type."""
    if given.has("field"):
        given.text("field")  # Events carry their value under one name here.
    aggregation = AGGREGATIONS[given.text("aggregation")]
    counts = aggregation == Aggregation.AGGREGATION_COUNT
    return Meter(
        code=given.text("code"),
        aggregation=aggregation,
        value_property="" if counts else "value",
        recurring=bool(given.value("recurring")),
        dimensions=[Dimension(key=key) for key in dimensions],
    )


def dimensions_of(plans: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the properties that charges look at, by meter."""
    found: dict[str, dict[str, None]] = {}
    for charge in (charge for plan in plans for charge in plan["charges"]):
        keys = found.setdefault(charge["meter"], {})
        keys |= dict.fromkeys(charge.get("group_by", ()))
        keys |= dict.fromkeys(key for one in charge.get("filters", ()) for key in one["values"])
    return {meter: list(keys) for meter, keys in found.items()}


def plan_of(given: Given) -> tuple[Plan, PlanVersion]:
    """Read a plan and its one version."""
    code = given.text("id")
    if given.text("currency") != CURRENCY:
        raise ValueError(f"the currency {given.text('currency')} is unknown here")
    cents = given.value("amount_cents")
    advance = bool(given.value("pay_in_advance"))
    version = PlanVersion(
        interval_unit=INTERVALS[given.text("interval")],
        base_amount=amount_of(ANY_CENTS if cents is None else cents),
        base_timing=_timing(advance=advance),
        charges=[charge_of(one) for one in given.each("charges")],
    )
    if given.has("fixed_charges"):
        version.fixed_charges.extend(fixed_charge_of(one) for one in given.each("fixed_charges"))
    if given.has("bill_charges_monthly"):
        version.bill_usage_monthly = bool(given.value("bill_charges_monthly"))
    if given.has("tax_rates"):
        version.tax_codes.extend(tax_code(rate) for rate in given.value("tax_rates"))
    if given.has("trial_days"):
        version.trial_days = int(given.value("trial_days"))
    if given.has("minimum_commitment_cents"):
        version.minimum_commitment = amount_of(given.value("minimum_commitment_cents"))
    if given.has("thresholds"):
        version.usage_thresholds.CopyFrom(thresholds_of(given.inner("thresholds")))
    return Plan(code=code, name=code, currency_code=CURRENCY), version


def thresholds_of(given: Given) -> UsageThresholds:
    """Read usage thresholds."""
    step = given.value("recurring_threshold_cents")
    return UsageThresholds(
        amounts=[amount_of(one) for one in given.value("fixed_thresholds_cents")],
        step="" if step is None else amount_of(step),
    )


def charge_of(given: Given) -> Charge:
    """Read a charge of usage."""
    charge = Charge(
        code=given.text("id"),
        meter_code=given.text("meter"),
        price=price_of(given.text("model"), given.inner("properties")),
    )
    if given.has("filters"):
        model = given.text("model")
        for place, one in enumerate(given.each("filters")):
            charge.buckets.append(_bucket(place, model, one))
    if given.has("group_by"):
        charge.group_by.extend(given.value("group_by"))
    if given.has("prorated"):
        charge.prorated = bool(given.value("prorated"))
    if given.has("pay_in_advance"):
        charge.pay_in_advance = bool(given.value("pay_in_advance"))
        if charge.pay_in_advance:  # Peers bill each event at once.
            charge.settle = Settle.SETTLE_EVENT
    if given.has("invoiceable"):
        charge.not_invoiced = not given.value("invoiceable")
    if given.has("tax_rates"):
        charge.tax_codes.extend(tax_code(rate) for rate in given.value("tax_rates"))
    if given.has("min_amount_cents"):
        charge.minimum_amount = amount_of(given.value("min_amount_cents"))
    return charge


def fixed_charge_of(given: Given) -> FixedCharge:
    """Read a fixed charge."""
    given.text("add_on")  # Named as the charge is.
    return FixedCharge(
        code=given.text("id"),
        price=price_of(given.text("model"), given.inner("properties")),
        units=given.text("units"),
        timing=_timing(advance=bool(given.value("pay_in_advance"))),
        prorated=bool(given.value("prorated")),
    )


def price_of(model: str, properties: Given) -> Price:
    """Read a price by its model."""
    match model:
        case "standard":
            return Price(standard=StandardPrice(unit_amount=properties.text("amount")))
        case "graduated":
            tiers = [_tier(one) for one in properties.each("ranges")]
            return Price(graduated=TieredPrice(tiers=tiers))
        case "package":
            return Price(
                package=PackagePrice(
                    amount=properties.text("amount"),
                    package_size=properties.text("package_size"),
                    free_units=properties.text("free_units"),
                )
            )
        case "percentage":
            return Price(percentage=_percentage(properties))
        case "graduated_percentage":
            rates = [_rate_tier(one) for one in properties.each("ranges")]
            return Price(graduated_percentage=GraduatedPercentagePrice(tiers=rates))
        case "dynamic":
            return Price(dynamic=DynamicPrice())
        case _:
            raise ValueError(f"the model {model} is unknown")


def _percentage(given: Given) -> PercentagePrice:
    price = PercentagePrice(
        rate_percent=given.text("rate"), fixed_amount=given.text("fixed_amount")
    )
    if given.has("free_units_per_events"):
        price.free_events = int(given.value("free_units_per_events"))
    if given.has("free_units_per_total_aggregation"):
        price.free_amount = given.text("free_units_per_total_aggregation")
    if given.has("per_transaction_min_amount"):
        price.event_minimum = given.text("per_transaction_min_amount")
    if given.has("per_transaction_max_amount"):
        price.event_maximum = given.text("per_transaction_max_amount")
    return price


def _rate_tier(given: Given) -> RateTier:
    given.value("from")  # Where the tier before it ends.
    up_to = given.find_decimal("to")
    return RateTier(
        up_to="" if up_to is None else str(up_to),
        rate_percent=given.text("rate"),
        flat_amount=given.text("flat_amount"),
    )


def _tier(given: Given) -> Tier:
    given.value("from")  # Where the tier before it ends.
    up_to = given.find_decimal("to")
    return Tier(
        up_to="" if up_to is None else str(up_to),
        unit_amount=given.text("per_unit_amount"),
        flat_amount=given.text("flat_amount"),
    )


def _bucket(place: int, model: str, given: Given) -> FilterBucket:
    filters = [
        DimensionFilter(key=key, values=values) for key, values in given.value("values").items()
    ]
    price = price_of(model, given.inner("properties"))
    return FilterBucket(code=f"bucket-{place}", filters=filters, price=price)


def _timing(*, advance: bool) -> Timing.ValueType:
    return Timing.TIMING_IN_ADVANCE if advance else Timing.TIMING_IN_ARREARS
