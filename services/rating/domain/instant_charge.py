"""Instant charges: each event is priced as it comes; and when what they cost is billed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from libs.errors import FieldInvalid
from services.rating.domain.charge_price import ChargePrice, reads_events
from services.rating.domain.custom import CustomPrice
from services.rating.domain.dynamic import DynamicPrice
from services.rating.domain.instant import InstantPrice
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.price import VolumePrice
from services.rating.domain.price_options import PriceOptions

COUNTED = (Aggregation.COUNT, Aggregation.SUM, Aggregation.UNIQUE_COUNT)


class Settle(StrEnum):
    """When instant fees are billed; values are those of the contract, in lower case."""

    PERIOD = "period"  # With the usage of their period.
    DAILY = "daily"
    AMOUNT = "amount"  # As often as they come to an amount.
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class InstantTerms:
    """How a charge is billed whose events are priced as they come.

    `settle_amount`, in currency units, is there for AMOUNT alone. Fees that are not `invoiced` are
    paid by themselves.
    """

    settle: Settle = Settle.PERIOD
    settle_amount: Decimal | None = None
    invoiced: bool = True

    @property
    def bills_early(self) -> bool:
        """Tell whether fees are billed before their period ends."""
        return self.settle is not Settle.PERIOD

    @property
    def is_corrected(self) -> bool:
        """Tell whether the period's end bills only what its fees have not: a correction."""
        return self.bills_early or not self.invoiced


def terms_faults(terms: InstantTerms, path: str) -> list[FieldInvalid]:
    """Return every rule that the terms of the charge at `path` break."""
    faults = []
    amount, by_amount = terms.settle_amount, terms.settle is Settle.AMOUNT
    if by_amount and not amount:
        faults.append(FieldInvalid(f"{path}.settle_amount", "must be above 0 to settle by amount"))
    if not by_amount and amount is not None:
        faults.append(FieldInvalid(f"{path}.settle_amount", "only goes with settling by amount"))
    if terms.bills_early and not terms.invoiced:
        faults.append(FieldInvalid(f"{path}.settle", "does not go with not_invoiced"))
    return faults


def instant_faults(
    prices: Mapping[str, ChargePrice], options: PriceOptions, meter: Meter, path: str
) -> list[FieldInvalid]:
    """Return why the charge at `path` cannot be instant; `prices` are by their fields."""
    faults = []
    refused = {VolumePrice: "volume", CustomPrice: "custom"}
    of_events = {PercentagePrice: "percentage", DynamicPrice: "dynamic"}
    for at, price in prices.items():
        if meter.recurring and type(price) in of_events:
            problem = f"looks at events, not at what the recurring meter {meter.code} carries"
            faults.append(FieldInvalid(f"{at}.{of_events[type(price)]}", problem))
        if type(price) in refused:
            problem = "does not go with pay_in_advance"
            faults.append(FieldInvalid(f"{at}.{refused[type(price)]}", problem))
    for name in ("maximum_amount", "minimum_amount"):
        if getattr(options, name) is not None:
            faults.append(FieldInvalid(f"{path}.{name}", "does not go with pay_in_advance"))
    if options.pricing_unit is not None:
        problem = "does not go with pay_in_advance"
        faults.append(FieldInvalid(f"{path}.pricing_unit", problem))
    if meter.aggregation not in COUNTED:
        why = meter.aggregation.name
    elif meter.day_bucket is not None or meter.rounding is not None:
        why = "it counts by days or is rounded"
    elif meter.fan_out:
        why = "it is fanned out"
    else:
        return faults
    problem = f"does not go with the meter {meter.code}: {why}"
    return [*faults, FieldInvalid(f"{path}.pay_in_advance", problem)]


def instant_price(price: ChargePrice) -> InstantPrice:
    """Return the price of an instant charge as one."""
    assert not isinstance(price, VolumePrice | CustomPrice), "such charges are refused"
    return price


def only_rises(price: ChargePrice, meter: Meter) -> bool:
    """Tell whether a period never costs more than in the end, so that its units tell it all."""
    alone = reads_events(price) or isinstance(price, DynamicPrice)
    return meter.aggregation is Aggregation.COUNT and not alone
