"""Fees: what one charge, or the base fee, costs for one billing period.

A pure function of cells, plan version and period. An amount is exact and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from fractions import Fraction

from libs.errors import Refused
from libs.money import DIVIDING, EXACT, round_minor
from libs.period import DayPeriod
from services.rating.domain.plan import PERIOD_MINOR_MAX, Charge, FixedCharge, PlanVersion
from services.rating.domain.price import ONE, ZERO, Row

PLACES = Decimal("1e-30")  # As many as a decimal of the contract can have.


class AmountTooLarge(Refused):
    """The fees of a period cost more than may be billed."""

    reason = "AMOUNT_TOO_LARGE"


class FeeKind(StrEnum):
    """What a fee is for; values are those of the contract, in lower case."""

    BASE = "base"
    USAGE = "usage"
    MINIMUM = "minimum"  # What the usage fees of a charge lack of its minimum.
    FIXED = "fixed"
    CORRECTION = "correction"  # What usage costs, less instant fees that were billed before.
    COMMITMENT = "commitment"  # What all fees of a period lack of the plan's minimum commitment.


@dataclass(frozen=True, slots=True)
class FeeKey:
    """Which fee of a period it is; the base fee has no charge."""

    kind: FeeKind
    charge_code: str
    filter_code: str  # "" for the default bucket.
    group_values: tuple[tuple[str, str], ...] = ()  # Of usage: key and value of its dimensions.


@dataclass(frozen=True, slots=True)
class Fee:
    """The rated result of a charge, bucket and group.

    The rows' amounts add up to `exact_amount`.
    """

    key: FeeKey
    meter_code: str
    display_name: str
    units: Decimal
    event_count: int
    exact_amount: Decimal  # Currency units.
    amount_minor: int
    rows: tuple[Row, ...]
    tax_codes: tuple[str, ...] = ()  # None: whose invoice it is on decides.


def base_fee(
    name: str,
    amount: Decimal,
    *,
    fee_days: DayPeriod,
    whole: DayPeriod,
    currency: str,
    paused: Sequence[DayPeriod] = (),
) -> Fee:
    """Return the base fee for `fee_days` of the `whole` week or month.

    It is amount x days / days of the whole, computed exactly and rounded once: 31.00 for 10 of
    31 days is 10.00. The row of a part holds the days in `units`, of the days in `up_to`. Days that
    are `paused` are not billed.
    """
    days = fee_days.days - sum(each.days for each in paused)
    row = share_of_days(amount, days, whole)
    return Fee(
        key=FeeKey(FeeKind.BASE, "", ""),
        meter_code="",
        display_name=name,
        units=ONE,
        event_count=0,
        exact_amount=row.amount,
        amount_minor=round_minor(Fraction(amount) * days / whole.days, currency),
        rows=(row,),
    )


def share_of_days(amount: Decimal, billed: int, whole: DayPeriod, *, label: str = "units") -> Row:
    """Return amount x `billed` days / days of the whole, rounded at 30 places if it does not end.

    The row of a part is a "proration", that of the whole is called `label`.
    """
    days, of_days = Decimal(billed), Decimal(whole.days)
    if days == of_days:
        return Row(label, ONE, amount, ZERO, amount)
    part = DIVIDING.divide(EXACT.multiply(amount, days), of_days)
    exact = part.quantize(PLACES, rounding=ROUND_HALF_UP, context=DIVIDING).normalize(DIVIDING)
    return Row("proration", days, amount, ZERO, exact, of_days)


def taxed(version: PlanVersion, fees: Iterable[Fee]) -> tuple[Fee, ...]:
    """Return `fees` with the taxes of their charges, or else of the plan."""
    charges: list[Charge | FixedCharge] = [*version.charges, *version.fixed_charges]
    named = {charge.code: charge.tax_codes for charge in charges if charge.tax_codes}
    return tuple(
        replace(fee, tax_codes=named.get(fee.key.charge_code, version.tax_codes)) for fee in fees
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
        tax_codes=now.tax_codes,
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
        tax_codes=fee.tax_codes,
    )
