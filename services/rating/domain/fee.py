"""Fees: what one charge, or the base fee, costs for one billing period.

A pure function of cells, plan version and period. An amount is exact and rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from fractions import Fraction

from libs.errors import Refused
from libs.money import DIVIDING, EXACT, round_minor
from libs.period import DayPeriod
from services.rating.domain.cell import Cell
from services.rating.domain.filters import choose_bucket
from services.rating.domain.meter import Meter
from services.rating.domain.plan import PERIOD_MINOR_MAX, Charge, PlanVersion
from services.rating.domain.price import Price, Row, amount_of, rate
from services.rating.domain.usage import Span, units, whole_usage

ZERO, ONE = Decimal(0), Decimal(1)
PLACES = Decimal("1e-30")  # As many as a decimal of the contract can have.


class AmountTooLarge(Refused):
    """The fees of a period cost more than may be billed."""

    reason = "AMOUNT_TOO_LARGE"


class FeeKind(StrEnum):
    """What a fee is for; values are those of the contract, in lower case."""

    BASE = "base"
    USAGE = "usage"


@dataclass(frozen=True, slots=True)
class FeeKey:
    """Which fee of a period it is; the base fee has no charge."""

    kind: FeeKind
    charge_code: str
    filter_code: str  # "" for the default bucket.


@dataclass(frozen=True, slots=True)
class Fee:
    """The rated result of one charge and bucket; the rows' amounts add up to `exact_amount`."""

    key: FeeKey
    meter_code: str
    display_name: str
    units: Decimal
    event_count: int
    exact_amount: Decimal  # Currency units.
    amount_minor: int
    rows: tuple[Row, ...]


def base_fee(
    name: str, amount: Decimal, *, fee_days: DayPeriod, whole: DayPeriod, currency: str
) -> Fee:
    """Return the base fee for `fee_days` of the `whole` week or month.

    It is amount x days / days of the whole, computed exactly and rounded once: 31.00 for 10 of
    31 days is 10.00. The row of a part holds the days in `units`, of the days in `up_to`.
    """
    days, of_days = fee_days.days, whole.days
    if days == of_days:
        exact, rounded = amount, round_minor(amount, currency)
        row = Row("units", ONE, amount, ZERO, amount)
    else:
        rounded = round_minor(Fraction(amount) * days / of_days, currency)
        part = DIVIDING.divide(EXACT.multiply(amount, Decimal(days)), Decimal(of_days))
        exact = part.quantize(PLACES, rounding=ROUND_HALF_UP, context=DIVIDING).normalize(DIVIDING)
        row = Row("proration", Decimal(days), amount, ZERO, exact, Decimal(of_days))
    return Fee(
        key=FeeKey(FeeKind.BASE, "", ""),
        meter_code="",
        display_name=name,
        units=ONE,
        event_count=0,
        exact_amount=exact,
        amount_minor=rounded,
        rows=(row,),
    )


def usage_fees(
    version: PlanVersion,
    meters: Mapping[str, Meter],
    cells: Mapping[str, Sequence[Cell]],
    *,
    currency: str,
    span: Span | None = None,
) -> list[Fee]:
    """Return the fees of all charges, in the plan's order, buckets before the default bucket.

    `meters` and `cells` are by meter code; meters that weigh levels over time need the `span`. A
    bucket without events makes no fee; a charge without any makes one on the default bucket if
    nothing costs something: a first tier's flat amount.
    """
    fees = []
    for charge in version.charges:
        meter = meters[charge.meter_code]
        by_bucket = buckets_of(charge, meter, cells.get(charge.meter_code, ()))
        priced: list[tuple[str, Price, Cell]] = [
            (bucket.code, bucket.price, by_bucket[place])
            for place, bucket in enumerate(charge.buckets)
            if place in by_bucket
        ]
        if None in by_bucket:
            priced.append(("", charge.price, by_bucket[None]))
        elif not priced and amount_of(rate(charge.price, ZERO)) > 0:
            priced.append(("", charge.price, Cell()))
        fees += [
            usage_fee(charge, meter, code, price, usage=usage, currency=currency, span=span)
            for code, price, usage in priced
        ]
    return fees


def buckets_of(charge: Charge, meter: Meter, cells: Sequence[Cell]) -> dict[int | None, Cell]:
    """Return the usage of each bucket of `charge` that has events; None is the default bucket."""
    filters = [bucket.filters for bucket in charge.buckets]
    keys = [dimension.key for dimension in meter.dimensions]
    sorted_out: dict[int | None, list[Cell]] = {}
    chosen: dict[tuple[str, ...], int | None] = {}
    for cell in cells:
        if cell.dimensions not in chosen:
            values = dict(zip(keys, cell.dimensions, strict=True))
            chosen[cell.dimensions] = choose_bucket(filters, values)
        sorted_out.setdefault(chosen[cell.dimensions], []).append(cell)
    return {bucket: whole_usage(inside, meter) for bucket, inside in sorted_out.items()}


def usage_fee(
    charge: Charge,
    meter: Meter,
    filter_code: str,
    price: Price,
    *,
    usage: Cell,
    currency: str,
    span: Span | None = None,
) -> Fee:
    """Return the fee for the `usage` of one bucket."""
    quantity = units(usage, meter, span=span)
    rows = rate(price, quantity)
    exact = amount_of(rows)
    return Fee(
        key=FeeKey(FeeKind.USAGE, charge.code, filter_code),
        meter_code=charge.meter_code,
        display_name=charge.display_name or meter.name,
        units=quantity,
        event_count=usage.event_count,
        exact_amount=exact,
        amount_minor=round_minor(exact, currency),
        rows=rows,
    )


def check_amounts(fees: Sequence[Fee]) -> None:
    """Check that `fees`, all of one period, can be billed.

    Raises:
        AmountTooLarge: they cannot.
    """
    total = sum(abs(fee.amount_minor) for fee in fees)
    if total > PERIOD_MINOR_MAX:
        problem = f"the fees come to {total} minor units, at most {PERIOD_MINOR_MAX} can be"
        raise AmountTooLarge(problem)


def adjustments(now: Sequence[Fee], billed: Sequence[Fee]) -> list[Fee]:
    """Return what `now` differs from the sum of all fees `billed` so far for the same period.

    Fees whose units and amounts are the same are left out. Afterwards the sum of all billed is
    `now`, to the minor unit. The rows are those of now, and one that takes off what was billed.
    """
    before: dict[FeeKey, list[Fee]] = {}
    for fee in billed:
        before.setdefault(fee.key, []).append(fee)
    present = {fee.key for fee in now}
    gone = [fees[0] for key, fees in before.items() if key not in present]
    changed = [_difference(fee, before.get(fee.key, []), fee.rows) for fee in now]
    changed += [_difference(_nothing(fee), before[fee.key], ()) for fee in gone]
    return [fee for fee in changed if fee.units or fee.exact_amount or fee.amount_minor]


def _difference(now: Fee, billed: Sequence[Fee], rows: tuple[Row, ...]) -> Fee:
    exact, quantity = ZERO, ZERO
    for fee in billed:
        exact = EXACT.add(exact, fee.exact_amount)
        quantity = EXACT.add(quantity, fee.units)
    taken = Row("billed", EXACT.minus(quantity), ZERO, ZERO, EXACT.minus(exact))
    return Fee(
        key=now.key,
        meter_code=now.meter_code,
        display_name=now.display_name,
        units=EXACT.subtract(now.units, quantity),
        event_count=now.event_count - sum(fee.event_count for fee in billed),
        exact_amount=EXACT.subtract(now.exact_amount, exact),
        amount_minor=now.amount_minor - sum(fee.amount_minor for fee in billed),
        rows=(*rows, taken) if billed else rows,
    )


def _nothing(fee: Fee) -> Fee:
    return Fee(
        key=fee.key,
        meter_code=fee.meter_code,
        display_name=fee.display_name,
        units=ZERO,
        event_count=0,
        exact_amount=ZERO,
        amount_minor=0,
        rows=(),
    )
