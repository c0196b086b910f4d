"""Fees of fixed charges: so many units of an add-on, whatever the usage.

In arrears every stretch of days costs the price of its units, for its days. In advance the units
with which a period begins are billed, and what later ones add to the most that it has cost. An
amount is exact and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from libs.errors import FieldInvalid
from libs.money import EXACT, round_minor
from libs.period import DayPeriod
from services.rating.domain.day_counts import unpaused_days
from services.rating.domain.fee import Fee, FeeKey, FeeKind
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import FixedCharge, PlanVersion, Timing
from services.rating.domain.price import ZERO, Row, amount_of, flat_row, rate
from services.rating.domain.rounding import round_units
from services.rating.domain.unit_change import UnitChange, place

# So that all that a version may have can be billed together.
PRICE_MINOR_MAX = 10**13


@dataclass(frozen=True, slots=True)
class Part:
    """A price that is due for `days`: that of `units`, less what was `held` before."""

    units: Decimal
    days: int
    held: Decimal = ZERO


def fixed_fees(
    version: PlanVersion, changes: Iterable[UnitChange], period: BillingPeriod
) -> list[Fee]:
    """Return the fees of the fixed charges that `period` bills, in the order of the version.

    `changes` are all those of the subscription. What has no units and costs nothing makes no fee.
    """
    timing = Timing.IN_ADVANCE if period.kind is PeriodKind.FIXED else Timing.IN_ARREARS
    known = [one for one in changes if one.term_id in (None, period.term_id)]
    fees = [
        _fee(charge, [one for one in known if one.charge_code == charge.code], period)
        for charge in version.fixed_charges
        if charge.timing is timing
    ]
    return [fee for fee in fees if fee.units or fee.exact_amount]


def check_fixed_charges(version: PlanVersion, currency: str) -> None:
    """Check that the fixed charges of `version`, in a plan of `currency`, can be billed.

    Raises:
        FieldInvalid: the units of one cost too much.
    """
    for position, charge in enumerate(version.fixed_charges):
        path = f"version.fixed_charges[{position}].units"
        check_price(charge, charge.units, currency, path)


def check_price(charge: FixedCharge, units: Decimal, currency: str, path: str) -> None:
    """Check that `units`, at the field `path`, can be billed.

    Raises:
        FieldInvalid: they cost too much.
    """
    minor = round_minor(amount_of(rate(charge.price, units)), currency)
    if minor > PRICE_MINOR_MAX:
        problem = f"cost {minor} minor units, at most {PRICE_MINOR_MAX} can be billed"
        raise FieldInvalid(path, problem)


def arrears_parts(
    charge: FixedCharge,
    changes: Iterable[UnitChange],
    days: DayPeriod,
    paused: Sequence[DayPeriod] = (),
) -> list[Part]:
    """Return the stretches of `days` by their units; the last change of a day counts for it.

    Those that are `paused` count nothing. A charge that is not prorated has one stretch: the units
    of the last day.
    """
    found: dict[date, Decimal] = {days.first_day: charge.units}
    for change in sorted(changes, key=place):
        if change.from_day < days.end_day:
            found[max(change.from_day, days.first_day)] = change.units
    if not charge.prorated:
        return [Part(found[max(found)], days.days)]
    starts = [
        day for day in sorted(found) if day == days.first_day or found[day] != _before(found, day)
    ]
    ends = [*starts[1:], days.end_day]
    return [
        Part(found[start], unpaused_days(start, end, paused))
        for start, end in zip(starts, ends, strict=True)
    ]


def advance_parts(
    charge: FixedCharge,
    changes: Iterable[UnitChange],
    days: DayPeriod,
    start: datetime,
    paused: Sequence[DayPeriod] = (),
) -> Iterator[Part]:
    """Yield the units with which a period begins at `start`, and those that cost more than before.

    A change on its first day is one within it, unless it was made before it began.
    """
    units, later = charge.units, []
    for change in sorted(changes, key=place):
        first = change.from_day == days.first_day and change.changed_at < start
        if change.from_day < days.first_day or first:
            units = change.units
        elif change.from_day < days.end_day:
            later.append(change)
    yield Part(units, unpaused_days(days.first_day, days.end_day, paused))
    most = amount_of(rate(charge.price, units))
    for change in later:
        amount = amount_of(rate(charge.price, change.units))
        if amount > most:
            left = unpaused_days(change.from_day, days.end_day, paused)
            yield Part(change.units, left, held=most)
            most = amount


def _fee(charge: FixedCharge, changes: Sequence[UnitChange], period: BillingPeriod) -> Fee:
    if charge.timing is Timing.IN_ADVANCE:
        start = period.usage.start
        parts = [*advance_parts(charge, changes, period.fee_days, start, period.paused)]
    else:
        parts = arrears_parts(charge, changes, period.usage_days, period.paused)
    rows: list[Row] = []
    exact = Fraction(0)
    for part in parts:
        full = list(_full_rows(charge, part))
        amount, of_days = amount_of(full), period.whole.days
        exact += Fraction(amount) * (Fraction(part.days, of_days) if charge.prorated else 1)
        rows += full
        if charge.prorated and part.days < of_days:
            rows.append(_unbilled(amount, part.days, of_days, exact=exact, before=rows))
    return Fee(
        key=FeeKey(FeeKind.FIXED, charge.code, ""),
        meter_code="",
        display_name=charge.display_name or charge.code,
        units=parts[-1].units,
        event_count=0,
        exact_amount=amount_of(rows),
        amount_minor=round_minor(exact, period.currency),
        rows=tuple(rows),
    )


def _full_rows(charge: FixedCharge, part: Part) -> Iterator[Row]:
    """Yield what the units cost for the whole week or month, and take off what was held."""
    yield from rate(charge.price, part.units)
    if part.held:
        yield flat_row("held", EXACT.minus(part.held))


def _unbilled(
    amount: Decimal, days: int, of_days: int, *, exact: Fraction, before: Sequence[Row]
) -> Row:
    """Return the row that takes off the days that are not billed.

    With those `before` it comes to `exact`, at 30 places where that does not end.
    """
    off = EXACT.subtract(round_units(exact, None), amount_of(before))
    return Row(
        "unbilled", Decimal(of_days - days), EXACT.minus(amount), ZERO, off, Decimal(of_days)
    )


def _before(found: dict[date, Decimal], day: date) -> Decimal:
    return found[max(other for other in found if other < day)]
