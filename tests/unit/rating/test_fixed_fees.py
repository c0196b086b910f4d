"""Fixed charges: units by days in arrears, raises within a period in advance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from libs.errors import FieldInvalid
from libs.period import DayPeriod
from services.rating.domain.calendar import BillingTime, Calendar, stretches
from services.rating.domain.fee import Fee
from services.rating.domain.fixed_fees import check_fixed_charges, fixed_fees
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus, planned_periods
from services.rating.domain.plan import (
    FixedCharge,
    FixedPrice,
    Interval,
    IntervalUnit,
    PlanVersion,
    Timing,
)
from services.rating.domain.price import (
    GraduatedPrice,
    StandardPrice,
    Tier,
    VolumePrice,
    amount_of,
)
from services.rating.domain.subscription import Subscription, SubscriptionStatus
from services.rating.domain.unit_change import Effective, UnitChange, effective_day
from tests.unit.rating.periods import a_billing_period

D = Decimal
ZONE = ZoneInfo("UTC")
APRIL = DayPeriod(date(2026, 4, 1), date(2026, 5, 1))
TEN = StandardPrice(D(10))
TIERS = (Tier(D(5), D(10), D(3)), Tier(None, D(6), D(0)))
SEATS = FixedCharge("seats", "", TEN, D(5), Timing.IN_ARREARS, prorated=True)
AHEAD = replace(SEATS, timing=Timing.IN_ADVANCE)


def a_version(*charges: FixedCharge) -> PlanVersion:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    unit = IntervalUnit.MONTH
    return PlanVersion(UUID(int=2), 1, unit, None, None, (), now, charges)


def a_period(kind: PeriodKind, first: int = 1, end: int = 31) -> BillingPeriod:
    """Days of April 2026, those at its ends included."""
    days = DayPeriod(date(2026, 4, first), date(2026, 4, 1) + timedelta(days=end - 1))
    return a_billing_period(kind, whole=APRIL, fee_days=days, status=PeriodStatus.OPEN)


def changed(*changes: tuple[str, int]) -> list[UnitChange]:
    """Units from a day on, "16" of April or "03-20"; made at noon of that day."""
    found = []
    for number, (text, units) in enumerate(changes, start=1):
        month, _, day = text.rpartition("-")
        from_day = date(2026, int(month or 4), int(day))
        noon = datetime(2026, from_day.month, from_day.day, 12, tzinfo=UTC)
        found.append(UnitChange("seats", number, from_day, D(units), noon))
    return found


def a_fee(
    charge: FixedCharge, changes: Sequence[UnitChange], *, first: int = 1, end: int = 31
) -> Fee:
    ahead = charge.timing is Timing.IN_ADVANCE
    period = a_period(PeriodKind.FIXED if ahead else PeriodKind.USAGE, first, end)
    [fee] = fixed_fees(a_version(charge), changes, period)
    assert amount_of(fee.rows) == fee.exact_amount
    return fee


@pytest.mark.parametrize(
    ("changes", "first", "end", "units", "minor"),
    [
        ([], 1, 31, 5, 5000),
        ([], 16, 31, 5, 2500),  # 15 of 30 days.
        ([("16", 8)], 1, 31, 8, 6500),  # 50 and 80, half each.
        ([("16", 8), ("28", 2)], 1, 31, 2, 5900),  # 25 + 80 x 12/30 + 20 x 3/30.
        ([("16", 8)], 1, 16, 5, 2500),  # It ended before the change.
        ([("03-20", 8)], 1, 31, 8, 8000),
        ([("03-20", 8), ("1", 2)], 1, 31, 2, 2000),
        ([("16", 9), ("16", 8)], 1, 31, 8, 6500),  # The last of a day counts.
        ([("16", 0)], 1, 31, 0, 2500),
    ],
)
def test_each_day_in_arrears_costs_the_share_of_its_units(
    changes: list[tuple[str, int]], first: int, end: int, units: int, minor: int
) -> None:
    fee = a_fee(SEATS, changed(*changes), first=first, end=end)
    assert (int(fee.units), fee.amount_minor) == (units, minor)


@pytest.mark.parametrize(
    ("changes", "first", "end", "units", "minor"),
    [
        ([], 1, 31, 5, 5000),
        ([], 16, 31, 5, 2500),
        ([("16", 8)], 1, 31, 8, 6500),  # 50, and 30 more for half of it.
        ([("16", 2)], 1, 31, 5, 5000),  # Nothing is given back.
        ([("16", 2), ("20", 5)], 1, 31, 5, 5000),  # Nor charged again.
        ([("10", 2), ("16", 7)], 1, 31, 7, 6000),  # 2 more than were billed.
        ([("16", 8), ("28", 11)], 1, 31, 11, 6800),
        ([("1", 2)], 1, 31, 5, 5000),  # Made within the period.
        ([("1", 8)], 1, 31, 8, 8000),
        ([("03-20", 2)], 1, 31, 2, 2000),  # By the next period it counts.
    ],
)
def test_raises_in_advance_cost_their_share_and_nothing_is_given_back(
    changes: list[tuple[str, int]], first: int, end: int, units: int, minor: int
) -> None:
    fee = a_fee(AHEAD, changed(*changes), first=first, end=end)
    assert (int(fee.units), fee.amount_minor) == (units, minor)


def test_what_is_set_for_the_next_period_is_what_it_begins_with() -> None:
    [change] = changed(("1", 2))
    planned = replace(change, changed_at=datetime(2026, 3, 20, tzinfo=UTC))
    assert a_fee(AHEAD, [planned]).amount_minor == 2000


@pytest.mark.parametrize(
    ("price", "minor"),
    [
        (GraduatedPrice(TIERS), 6200),  # (3 + 50) / 2 and (3 + 50 + 18) / 2.
        (VolumePrice(TIERS), 5050),  # 53 / 2 and 48 / 2.
    ],
)
def test_tiers_are_those_of_the_units_of_each_stretch(price: FixedPrice, minor: int) -> None:
    assert a_fee(replace(SEATS, price=price), changed(("16", 8))).amount_minor == minor


def test_more_units_that_cost_less_add_nothing_in_advance() -> None:
    fee = a_fee(replace(AHEAD, price=VolumePrice(TIERS)), changed(("16", 8), ("20", 9)))
    assert (int(fee.units), fee.amount_minor) == (9, 5337)  # 53, and 1 more for 11 of 30 days.


@pytest.mark.parametrize(("charge", "minor"), [(SEATS, 8000), (AHEAD, 8000)])
def test_what_is_not_prorated_costs_the_whole_price(charge: FixedCharge, minor: int) -> None:
    whole = replace(charge, prorated=False)
    assert a_fee(whole, changed(("16", 8)), first=10).amount_minor == minor
    assert a_fee(whole, [], first=10).amount_minor == 5000


def test_a_breakdown_tells_prices_and_days_that_are_not_billed() -> None:
    def steps(fee: Fee) -> list[tuple[str, int, int, int]]:
        return [
            (row.label, int(row.units), int(row.unit_amount), int(row.amount)) for row in fee.rows
        ]

    assert steps(a_fee(SEATS, changed(("16", 8)))) == [
        ("units", 5, 10, 50),
        ("unbilled", 15, -50, -25),
        ("units", 8, 10, 80),
        ("unbilled", 15, -80, -40),
    ]
    assert steps(a_fee(AHEAD, changed(("16", 8)))) == [
        ("units", 5, 10, 50),
        ("units", 8, 10, 80),
        ("held", 0, 0, -50),
        ("unbilled", 15, -30, -15),
    ]


def test_shares_that_do_not_end_add_up_before_they_are_rounded() -> None:
    charge = replace(SEATS, price=StandardPrice(D("0.01")), units=D(1))
    fee = a_fee(charge, changed(("11", 2), ("21", 1)))  # (10 + 20 + 10) x 0.01 / 30.
    assert fee.exact_amount == D("0.013333333333333333333333333333")
    half = a_fee(replace(charge, units=D("0.5")), changed(("11", 1), ("21", 0)))
    assert (half.exact_amount, half.amount_minor) == (D("0.005"), 1)


def test_nothing_of_something_makes_no_fee_unless_it_costs() -> None:
    none = replace(SEATS, units=D(0))
    tiers = replace(none, code="lines", price=GraduatedPrice(TIERS))
    fees = fixed_fees(a_version(none, tiers), [], a_period(PeriodKind.USAGE))
    assert [(fee.key.charge_code, fee.amount_minor) for fee in fees] == [("lines", 300)]


def test_each_period_has_the_charges_of_its_time() -> None:
    version = a_version(SEATS, replace(AHEAD, code="lines", display_name="Lines"))
    for kind, code, name in (
        (PeriodKind.USAGE, "seats", "seats"),
        (PeriodKind.FIXED, "lines", "Lines"),
    ):
        [fee] = fixed_fees(version, changed(("03-20", 1)), a_period(kind))
        assert (fee.key.charge_code, fee.display_name) == (code, name)
        assert fee.units == (1 if code == "seats" else 5), "changes are of one charge"


def test_fixed_charges_alone_make_the_periods_that_bill_them() -> None:
    start = datetime(2026, 4, 16, 10, tzinfo=UTC)
    months = Calendar(Interval(IntervalUnit.MONTH), ZONE, BillingTime.CALENDAR, start.date())

    def planned(*charges: FixedCharge) -> list[tuple[str, str]]:
        two = islice(stretches(months, start, None), 2)
        delay = timedelta(minutes=10)
        found = planned_periods(two, a_version(*charges), start=start, collection_delay=delay)
        return [(str(one.kind), f"{one.due_at:%m-%d %H:%M}") for one in found]

    assert planned(SEATS) == [("usage", "05-01 00:10"), ("usage", "06-01 00:10")]
    assert planned(AHEAD) == [
        *(("fixed", "04-16 10:00"), ("usage", "05-01 00:10")),
        *(("fixed", "05-01 00:10"), ("usage", "06-01 00:10")),
    ]
    assert planned() == []


@pytest.mark.parametrize(
    ("now", "effective", "day"),
    [
        ("2026-04-20T23:30", Effective.NOW, date(2026, 4, 21)),  # It is half past one in Berlin.
        ("2026-04-20T23:30", Effective.NEXT_PERIOD, date(2026, 5, 1)),
        ("2026-03-31T22:30", Effective.NEXT_PERIOD, date(2026, 5, 1)),
        ("2026-03-02T00:00", Effective.NOW, date(2026, 4, 10)),  # It starts then.
        ("2026-03-02T00:00", Effective.NEXT_PERIOD, date(2026, 5, 1)),
    ],
)
def test_a_change_begins_on_a_local_day(now: str, effective: Effective, day: date) -> None:
    start = datetime(2026, 4, 10, 9, tzinfo=UTC)
    if now >= "2026-03-31":
        start = datetime(2026, 1, 1, tzinfo=UTC)
    subscription = Subscription(
        subscription_uid=UUID(int=4),
        subscription_id="s",
        customer_id="acme",
        plan_version_id=UUID(int=2),
        plan_code="pro",
        plan_version=1,
        currency="USD",
        start=start,
        end=None,
        time_zone="Europe/Berlin",
        status=SubscriptionStatus.ACTIVE,
        default_for_usage=False,
        collection_delay_s=600,
        created_at=start,
        billing_time=BillingTime.CALENDAR,
        anchor_day=start.date(),
    )
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert effective_day(effective, Interval(IntervalUnit.MONTH), subscription, at) == day


def test_units_that_cost_more_than_can_be_billed_are_refused() -> None:
    most = replace(SEATS, units=D(10**10))  # 10^11 dollars are 10^13 cents.
    check_fixed_charges(a_version(most), "USD")
    with pytest.raises(FieldInvalid) as refused:
        check_fixed_charges(a_version(SEATS, replace(most, units=D(10**10 + 1))), "USD")
    assert refused.value.field == "version.fixed_charges[1].units"
