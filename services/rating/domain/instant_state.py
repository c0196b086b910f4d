"""Pricing events of instant charges as they come, by what those before them come to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal

from libs.money import EXACT, exponent
from services.rating.domain.charge_price import ChargePrice, Usage, price_usage, reads_events
from services.rating.domain.event import Moment
from services.rating.domain.instant import Step
from services.rating.domain.instant_fee import InstantFee
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.percentage import PercentagePrice, PercentageSum
from services.rating.domain.price import ZERO, amount_of, factor_of
from services.rating.domain.price_options import PriceOptions


@dataclass(frozen=True, slots=True)
class Standing:
    """What the events of a bucket and group that were priced come to, up to the `last` of them.

    `sums` are what a percentage knows of them; `paid` is the most that they have cost.
    """

    last: Moment | None = None
    sums: PercentageSum = PercentageSum()
    amount: Decimal = ZERO  # Of the events' own.
    paid: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Unbilled:
    """Fees that no bill holds yet: what they cost exactly, the units and events they are of.

    Of `exact`, `carried` is what earlier bills have left.
    """

    exact: Decimal = ZERO
    units: Decimal = ZERO
    event_count: int = 0
    carried: Decimal = ZERO

    def plus(self, fee: InstantFee) -> Unbilled:
        """Return it with one more fee."""
        return replace(
            self,
            exact=EXACT.add(self.exact, fee.exact_amount),
            units=EXACT.add(self.units, fee.units),
            event_count=self.event_count + (not fee.is_renewal),
        )

    def whole_minor(self, currency: str) -> int:
        """Return how many whole minor units there are: 0.0299 dollars are 2."""
        return int(self.exact.scaleb(exponent(currency), context=EXACT).to_integral(ROUND_FLOOR))

    def rest(self, currency: str) -> Unbilled:
        """Return what is carried to the next bill: what is below a minor unit."""
        whole = Decimal(self.whole_minor(currency)).scaleb(-exponent(currency), context=EXACT)
        left = EXACT.subtract(self.exact, whole)
        return Unbilled(left, carried=left)


@dataclass(frozen=True, slots=True)
class State:
    """How a bucket and group of an instant charge stands in a usage period."""

    standing: Standing = Standing()
    unbilled: Unbilled = Unbilled()


def comes_late(standing: Standing, meter: Meter, first: Moment) -> bool:
    """Tell whether the state is not enough to price events from `first` on.

    It is that of events up to its last one, and does not know which distinct values are there.
    """
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        return True
    return standing.last is not None and first < standing.last


def price_next(
    price: ChargePrice, options: PriceOptions, standing: Standing, steps: Sequence[Step]
) -> tuple[Standing, list[Decimal]]:
    """Return the state after `steps`, which follow it in their order, and what each of them costs.

    Exact, in currency units: what it adds to the most that has been paid.
    """
    fees = []
    for step in steps:
        standing = replace(
            standing,
            last=step.moment,
            sums=standing.sums.after(_percentage(price), step.units),
            amount=EXACT.add(standing.amount, step.amount),
        )
        cost = _cost(price, options, standing)
        fees.append(max(EXACT.subtract(cost, standing.paid), ZERO))
        standing = replace(standing, paid=max(cost, standing.paid))
    return standing, fees


def price_among(
    price: ChargePrice,
    options: PriceOptions,
    known: Sequence[Step],
    fresh: Collection[Moment],
) -> tuple[Standing, dict[Moment, Decimal]]:
    """Return the state after all `known` steps, in order, and what those of `fresh` cost.

    Each costs what it adds to those dated before it.
    """
    standing, fees = price_next(price, options, Standing(), known)
    found = {step.moment: fee for step, fee in zip(known, fees, strict=True)}
    return standing, {moment: found[moment] for moment in fresh if moment in found}


def _percentage(price: ChargePrice) -> PercentagePrice | None:
    return price if isinstance(price, PercentagePrice) else None


def _cost(price: ChargePrice, options: PriceOptions, standing: Standing) -> Decimal:
    sums = standing.sums
    if isinstance(price, PercentagePrice) and reads_events(price):
        cost = sums.cost(price)
        discount = EXACT.multiply(cost, factor_of(options.percentage_discount))
        return EXACT.subtract(cost, discount)
    usage = Usage(sums.units, sums.event_count, standing.amount)
    return amount_of(price_usage(price, options, usage))
