"""Fees: amounts that are exact, rounded once, and differences that add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from libs.period import DayPeriod
from services.rating.domain.cell import Cell
from services.rating.domain.fee import Fee, adjustments, base_fee, taxed
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.plan import Charge, FilterBucket, IntervalUnit, PlanVersion
from services.rating.domain.price import GraduatedPrice, Price, StandardPrice, Tier, amount_of
from services.rating.domain.usage_fees import usage_fees

D = Decimal
NOW = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = DayPeriod(date(2024, 2, 1), date(2024, 3, 1))
ENERGY = Meter(
    meter_id=UUID(int=1),
    code="energy",
    name="Energy",
    event_type="reading",
    aggregation=Aggregation.SUM,
    value_property="mwh",
    dimensions=(Dimension("day_type", ()),),
    created_at=NOW,
)


def days(first: int, end: int) -> DayPeriod:
    return DayPeriod(date(2024, 2, first), date(2024, 2, end))


def a_version(price: Price, *buckets: FilterBucket) -> PlanVersion:
    charge = Charge("energy", "energy", "", price, buckets)
    return PlanVersion(UUID(int=2), 1, IntervalUnit.MONTH, None, None, (charge,), NOW)


def fees(version: PlanVersion, *cells: Cell) -> list[Fee]:
    return usage_fees(version, {"energy": ENERGY}, {"energy": list(cells)}, currency="AUD")


def cell(day_type: str, total: str, events: int = 1) -> Cell:
    return Cell(dimensions=(day_type,), event_count=events, total=D(total))


WEEKEND = FilterBucket(
    "weekend",
    (DimensionFilter("day_type", frozenset({"weekend"})),),
    StandardPrice(D("1")),
)


@pytest.mark.parametrize(
    ("amount", "billed", "exact", "minor"),
    [
        ("29", FEBRUARY, "29", 2900),
        ("29", days(1, 11), "10", 1000),
        ("10", days(1, 2), "0.344827586206896551724137931034", 34),
        ("0.145", FEBRUARY, "0.145", 15),
    ],
)
def test_a_base_fee_is_prorated_by_days_and_rounded_once(
    amount: str, billed: DayPeriod, exact: str, minor: int
) -> None:
    fee = base_fee("Plan", D(amount), fee_days=billed, whole=FEBRUARY, currency="USD")
    assert (fee.exact_amount, fee.amount_minor) == (D(exact), minor)
    assert amount_of(fee.rows) == fee.exact_amount


def test_usage_goes_to_its_buckets_and_the_rest_to_the_default_one() -> None:
    version = a_version(StandardPrice(D("2")), WEEKEND)
    found = fees(version, cell("weekend", "1.5"), cell("workday", "2"), cell("", "0.25"))
    assert [(fee.key.filter_code, fee.units, fee.amount_minor) for fee in found] == [
        ("weekend", D("1.5"), 150),
        ("", D("2.25"), 450),
    ]


def test_a_bucket_without_events_makes_no_fee_and_one_at_price_0_does() -> None:
    version = a_version(StandardPrice(D("0")), WEEKEND)
    found = fees(version, cell("workday", "2", events=3))
    assert [(fee.key.filter_code, fee.event_count, fee.amount_minor) for fee in found] == [
        ("", 3, 0)
    ]


def test_a_charge_without_usage_costs_what_nothing_costs() -> None:
    flat = GraduatedPrice((Tier(None, D("1"), D("5")),))
    assert fees(a_version(StandardPrice(D("1")))) == []
    found = fees(a_version(flat, WEEKEND))
    assert [(fee.key.filter_code, fee.units, fee.amount_minor) for fee in found] == [
        ("", D(0), 500)
    ]
    with_usage = fees(a_version(flat, WEEKEND), cell("weekend", "1"))
    assert [fee.key.filter_code for fee in with_usage] == ["weekend"]


def test_a_million_events_at_a_tenth_of_a_cent_are_a_thousand() -> None:
    found = fees(a_version(StandardPrice(D("0.001"))), cell("", "1000000"))
    assert found[0].amount_minor == 100_000


def test_an_adjustment_brings_the_sum_to_the_present_price() -> None:
    version = a_version(StandardPrice(D("0.333")), WEEKEND)
    closed = fees(version, cell("workday", "1"), cell("weekend", "1"))
    now = fees(version, cell("workday", "3"), cell("weekend", "1"))
    first = adjustments(now, closed)
    assert [(fee.key.filter_code, fee.units, fee.amount_minor) for fee in first] == [
        ("", D("2"), 67)
    ]
    assert amount_of(first[0].rows) == first[0].exact_amount == D("0.666")
    assert adjustments(now, [*closed, *first]) == []


def test_an_adjustment_may_be_negative_and_take_a_whole_fee_back() -> None:
    version = a_version(StandardPrice(D("1")), WEEKEND)
    closed = fees(version, cell("weekend", "2"))
    taken = adjustments([], closed)
    assert [(fee.units, fee.exact_amount, fee.amount_minor) for fee in taken] == [
        (D(-2), D(-2), -200)
    ]


def test_a_fee_names_the_taxes_of_its_charge_or_else_of_the_plan() -> None:
    version = replace(a_version(StandardPrice(D("1"))), tax_codes=("plan",))
    base = base_fee("Pro", D(1), fee_days=FEBRUARY, whole=FEBRUARY, currency="AUD")
    used = fees(version, cell("", "3"))
    assert {fee.tax_codes for fee in taxed(version, [base, *used])} == {("plan",)}
    own = replace(version, charges=(replace(version.charges[0], tax_codes=("own", "other")),))
    named = taxed(own, [base, *used])
    assert [fee.tax_codes for fee in named] == [("plan",), ("own", "other")]
    assert [fee.tax_codes for fee in adjustments([], named)] == [("plan",), ("own", "other")]
