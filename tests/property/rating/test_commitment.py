"""A period costs its share of the commitment, or its fees if these are more."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from libs.period import DayPeriod
from services.rating.domain.fee import FeeKind
from services.rating.domain.period import PeriodKind, PeriodStatus
from services.rating.domain.plan import Timing
from services.rating.domain.price import StandardPrice
from services.rating.operations.committing import commitment_of
from services.rating.operations.rating import price_period
from services.rating.store.beside import Beside
from tests.unit.rating.periods import a_billing_period
from tests.unit.rating.test_commitment import APRIL, VERSION
from tests.unit.rating.test_fixed_fees import SEATS

cents = st.decimals(min_value=0, max_value=2_000, places=2)


@given(
    commitment=cents,
    base=cents,
    add_ons=st.tuples(cents, cents),
    first=st.integers(1, 30),
    sheltered=st.integers(0, 30),
)
def test_all_fees_of_a_period_are_the_share_of_its_commitment_or_more(
    commitment: Decimal,
    base: Decimal,
    add_ons: tuple[Decimal, Decimal],
    first: int,
    sheltered: int,
) -> None:
    fixed = tuple(
        replace(SEATS, code=timing, timing=timing, price=StandardPrice(price), units=Decimal(1))
        for timing, price in zip(Timing, add_ons, strict=True)
    )
    version = replace(VERSION, base_amount=base, minimum_commitment=commitment, fixed_charges=fixed)
    days = DayPeriod(date(2026, 4, first), APRIL.end_day)
    paid = DayPeriod(
        min(days.first_day + timedelta(days=sheltered), date(2026, 4, 30)), days.end_day
    )
    periods = {
        kind: a_billing_period(
            kind,
            whole=APRIL,
            fee_days=paid if kind is PeriodKind.BASE else days,
            status=PeriodStatus.OPEN,
        )
        for kind in (PeriodKind.BASE, PeriodKind.FIXED, PeriodKind.USAGE)
    }
    beside = [periods[PeriodKind.BASE], periods[PeriodKind.FIXED]]
    owed = commitment_of(
        version,
        Beside(days.days, APRIL, tuple(beside)),
        lambda one: price_period(one, version, {}, {}).fees,
    )
    fees = [
        fee
        for period in periods.values()
        for fee in price_period(period, version, {}, {}, commitment=owed).fees
    ]
    share = floor(Fraction(commitment) * days.days / 30 * 100 + Fraction(1, 2))
    others = sum(fee.amount_minor for fee in fees if fee.key.kind is not FeeKind.COMMITMENT)
    assert sum(fee.amount_minor for fee in fees) == max(share, others)
