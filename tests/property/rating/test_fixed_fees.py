"""Fixed charges cost what a day after the other costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from libs.money import round_minor
from services.rating.domain.fee import Fee
from services.rating.domain.fixed_fees import fixed_fees
from services.rating.domain.period import PeriodKind
from services.rating.domain.plan import FixedPrice, Timing
from services.rating.domain.price import GraduatedPrice, StandardPrice, Tier, VolumePrice, amount_of
from services.rating.domain.unit_change import UnitChange
from tests.unit.rating.test_fixed_fees import SEATS, a_period, a_version, changed

amounts = st.decimals(min_value=0, max_value=30, places=2)
units = st.integers(0, 12)
tiers = st.tuples(amounts, amounts, amounts, amounts).map(
    lambda four: (Tier(Decimal(5), four[0], four[1]), Tier(None, four[2], four[3]))
)
prices = st.one_of(amounts.map(StandardPrice), tiers.map(GraduatedPrice), tiers.map(VolumePrice))
# Days of April, some before it and behind it; several changes may be of one day.
changes = st.lists(st.tuples(st.integers(-3, 33), units), max_size=6)
stretch = st.tuples(st.integers(1, 30), st.integers(1, 30)).map(sorted)


def cost(price: FixedPrice, count: Decimal) -> Fraction:
    """What units cost in a whole month, by adding unit to unit."""
    match price:
        case StandardPrice():
            return Fraction(price.unit_amount) * Fraction(count)
        case VolumePrice():
            tier = price.tiers[0] if count <= 5 else price.tiers[1]
            return Fraction(tier.unit_amount) * Fraction(count) + Fraction(tier.flat_amount)
        case GraduatedPrice():
            low, high = price.tiers
            total = sum(
                (Fraction((low if n < 5 else high).unit_amount) for n in range(int(count))),
                Fraction(low.flat_amount),
            )
            return total + (Fraction(high.flat_amount) if count > 5 else 0)


def made(asked: list[tuple[int, int]]) -> list[UnitChange]:
    first = date(2026, 4, 1)
    found = []
    for number, (day, count) in enumerate(asked, start=1):
        on = first + timedelta(days=day - 1)
        [change] = changed((f"{on:%m-%d}", count))
        found.append(replace(change, number=number))
    return found


def units_on(asked: list[tuple[int, int]], day: int) -> Decimal:
    """The units at the end of a day of April."""
    held, since = 5, -99
    for from_day, count in asked:
        if since <= from_day <= day:
            held, since = count, from_day
    return Decimal(held)


def priced(timing: Timing, price: FixedPrice, asked: list[tuple[int, int]], days: list[int]) -> Fee:
    kind = PeriodKind.FIXED if timing is Timing.IN_ADVANCE else PeriodKind.USAGE
    # A charge whose units cost something, so that there always is a fee to look at.
    charge = replace(SEATS, price=price, timing=timing)
    one = replace(SEATS, code="one", timing=timing)
    found = fixed_fees(a_version(charge, one), made(asked), a_period(kind, days[0], days[1] + 1))
    fees = {fee.key.charge_code: fee for fee in found}
    return fees.get("seats") or replace(
        fees["one"], rows=(), exact_amount=Decimal(0), amount_minor=0
    )


@given(prices, changes, stretch)
def test_arrears_are_the_sum_of_their_days(
    price: FixedPrice, asked: list[tuple[int, int]], days: list[int]
) -> None:
    fee = priced(Timing.IN_ARREARS, price, asked, days)
    by_day = sum(
        (cost(price, units_on(asked, day)) / 30 for day in range(days[0], days[1] + 1)), Fraction(0)
    )
    check(fee, by_day)


@given(prices, changes, stretch)
def test_an_advance_is_each_day_what_its_dearest_units_so_far_cost(
    price: FixedPrice, asked: list[tuple[int, int]], days: list[int]
) -> None:
    fee = priced(Timing.IN_ADVANCE, price, asked, days)
    most = cost(price, units_on(asked, days[0] - 1))
    by_day = Fraction(0)
    for day in range(days[0], days[1] + 1):
        within = [count for from_day, count in asked if from_day == day]
        most = max([most, *(cost(price, Decimal(count)) for count in within)])
        by_day += most / 30
    check(fee, by_day)


def check(fee: Fee, exact: Fraction) -> None:
    """Check that a fee is `exact`, rounded once, and shows how."""
    assert fee.amount_minor == round_minor(exact, "USD")
    assert abs(Fraction(fee.exact_amount) - exact) <= Fraction(1, 2 * 10**30)
    assert amount_of(fee.rows) == fee.exact_amount
    for row in fee.rows:
        of = Fraction(row.up_to or 1) if row.label == "unbilled" else 1
        shown = Fraction(row.units) * Fraction(row.unit_amount) / of + Fraction(row.flat_amount)
        assert abs(Fraction(row.amount) - shown) <= Fraction(1, 10**30)
