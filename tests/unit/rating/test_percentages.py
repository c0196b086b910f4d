"""Percentages and dynamic prices: tables that can be checked in the head."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.rating.domain.dynamic import DynamicPrice, dynamic_faults, rate_dynamic
from services.rating.domain.graduated_percentage import (
    GraduatedPercentagePrice,
    RateTier,
    graduated_percentage_faults,
    rate_graduated_percentage,
)
from services.rating.domain.percentage import (
    Free,
    PercentagePrice,
    event_amounts,
    free_of,
    percentage_faults,
    rate_events,
    rate_percentage,
)
from services.rating.domain.price import Row, amount_of

D = Decimal


def values(*texts: str) -> list[Decimal]:
    return [D(text) for text in texts]


def steps(rows: tuple[Row, ...]) -> list[tuple[str, Decimal, Decimal]]:
    return [(row.label, row.units, row.amount) for row in rows]


FEES = PercentagePrice(D(1), fixed_amount=D(5))
TWO_FREE = PercentagePrice(D(1), fixed_amount=D(5), free_events=2)
HUNDRED_FREE = PercentagePrice(D(1), fixed_amount=D(5), free_amount=D(100))
BOTH_FREE = PercentagePrice(D(1), fixed_amount=D(5), free_events=2, free_amount=D(100))
BOUNDED = PercentagePrice(D(1), fixed_amount=D(1), event_minimum=D(2), event_maximum=D(10))
FIRST_FREE = PercentagePrice(D(1), free_events=2, free_amount=D(25))
FIRST_FREE_ALONE = PercentagePrice(D(1), free_events=2, free_amount=D(25), event_maximum=D(1))
BOUNDED_FREE = PercentagePrice(D(1), free_amount=D(100), event_minimum=D(2))


@pytest.mark.parametrize(
    ("price", "events", "amount"),
    [
        (FEES, values(), "0"),
        (FEES, values("100", "200"), "13"),
        (FEES, values("0", "0"), "0"),
        (FEES, values("100", "-100"), "0"),
        (FEES, values("100", "-200"), "0"),
        (FEES, values("200", "-100"), "11"),
        (TWO_FREE, values("100", "100"), "0"),
        (TWO_FREE, values("100", "100", "300"), "8"),
        (HUNDRED_FREE, values("60", "30"), "0"),
        (HUNDRED_FREE, values("60", "40"), "5"),  # It reaches the limit: the fixed amount.
        (HUNDRED_FREE, values("60", "60", "60"), "10.8"),
        (HUNDRED_FREE, values("150", "-100", "20"), "15"),  # Behind the first beyond, none is free.
        (HUNDRED_FREE, values("100", "-10", "5"), "5"),  # What only reaches it can go back.
        (BOTH_FREE, values("10", "10", "10"), "5.1"),
        (BOTH_FREE, values("60", "60", "60"), "10.8"),
        (BOUNDED, values(), "0"),
        (BOUNDED, values("50", "100", "1000"), "14"),
        (BOUNDED, values("100", "-100"), "0"),
        (BOUNDED_FREE, values("60", "30"), "0"),
        (BOUNDED_FREE, values("60", "60", "1000"), "12"),
        (FIRST_FREE, values("26", "-2"), "0"),  # They come to 24, which is free.
        (FIRST_FREE_ALONE, values("26", "-2"), "0.01"),  # What is free gives nothing back.
        (FIRST_FREE_ALONE, values("26", "-2", "30"), "0.31"),
    ],
)
def test_a_percentage_gives_the_amount_in_the_table(
    price: PercentagePrice, events: list[Decimal], amount: str
) -> None:
    assert amount_of(rate_events(price, events)) == D(amount)


def test_rows_of_a_percentage_show_what_is_free_and_what_events_pay() -> None:
    assert steps(rate_events(TWO_FREE, values("100", "100", "300"))) == [
        ("free", D(200), D(0)),
        ("percentage", D(300), D(3)),
        ("fixed", D(1), D(5)),
    ]


def test_what_the_bounds_of_events_change_are_rows() -> None:
    events = values("50", "100", "1000")
    assert event_amounts(BOUNDED, events) == values("2", "2", "10")
    assert steps(rate_events(BOUNDED, events)) == [
        ("percentage", D(1150), D("11.5")),
        ("fixed", D(3), D(3)),
        ("minimum", D(0), D("0.5")),
        ("maximum", D(0), D(-1)),
    ]


def test_events_below_zero_never_make_a_price_below_zero() -> None:
    price = PercentagePrice(D(10), event_maximum=D(1))
    rows = rate_events(price, values("200", "-100"))  # 1 and -10.
    assert steps(rows)[-2:] == [("minimum", D(0), D(9)), ("maximum", D(0), D(-19))]
    assert amount_of(rows) == 0


def test_what_is_free_reads_no_more_than_it_needs() -> None:
    events = iter(values("60", "30", "20", "70", "80"))
    assert free_of(HUNDRED_FREE, events) == Free(D(100), 2)
    assert next(events) == 80
    assert free_of(FEES, values("60")) == Free(D(0), 0)


def test_a_percentage_of_sums_is_that_of_the_events() -> None:
    events = values("60", "60", "60")
    rows = rate_percentage(HUNDRED_FREE, D(180), 3, free_of(HUNDRED_FREE, events))
    assert rows == rate_events(HUNDRED_FREE, events)


@pytest.mark.parametrize(
    ("price", "fields"),
    [
        (BOUNDED, []),
        (PercentagePrice(D(-1), D(-1), -1, D(-1)), ["rate_percent", "fixed_amount"]),
        (PercentagePrice(D(1), event_minimum=D(-2), event_maximum=D(-1)), ["event_minimum"]),
        (PercentagePrice(D(1), event_minimum=D(3), event_maximum=D(2)), ["event_minimum"]),
        (PercentagePrice(D(1), event_minimum=D(2), event_maximum=D(2)), []),
    ],
)
def test_a_percentage_is_checked_whole(price: PercentagePrice, fields: list[str]) -> None:
    found = [fault.field for fault in percentage_faults(price, "p")]
    assert found[: len(fields)] == [f"p.{name}" for name in fields]
    assert bool(found) == bool(fields)


def test_every_fault_of_a_percentage_is_found_at_once() -> None:
    worst = PercentagePrice(D(-1), D(-2), -3, D(-4), D(-5), D(-6))
    assert [str(fault) for fault in percentage_faults(worst, "p")] == [
        "p.rate_percent: -1 is below 0",
        "p.fixed_amount: -2 is below 0",
        "p.free_events: -3 is below 0",
        "p.free_amount: -4 is below 0",
        "p.event_minimum: -5 is below 0",
        "p.event_maximum: -6 is below 0",
        "p.event_minimum: -5 is above event_maximum, which is -6",
    ]


RATES = (RateTier(D(100), D(2), D(7)), RateTier(None, D(1), D(3)))


@pytest.mark.parametrize(
    ("units", "amount"),
    [("-1", "7"), ("0", "7"), ("100", "9"), ("150", "12.5"), ("100.01", "12.0001")],
)
def test_a_graduated_percentage_gives_the_amount_in_the_table(units: str, amount: str) -> None:
    rows = rate_graduated_percentage(GraduatedPercentagePrice(RATES), D(units))
    assert amount_of(rows) == D(amount)


def test_rows_of_a_graduated_percentage_are_its_tiers() -> None:
    rows = rate_graduated_percentage(GraduatedPercentagePrice(RATES), D(150))
    assert steps(rows) == [("tier", D(100), D(9)), ("tier", D(50), D("3.5"))]
    assert [row.unit_amount for row in rows] == [D("0.02"), D("0.01")]


def test_every_fault_of_a_graduated_percentage_is_found_at_once() -> None:
    wrong = (RateTier(D(10), D(-1), D(0)), RateTier(D(10), D(1), D(-1)), RateTier(D(9), D(1), D(0)))
    faults = graduated_percentage_faults(GraduatedPercentagePrice(wrong), "p")
    assert [fault.field for fault in faults] == [
        "p.tiers[1].up_to",
        "p.tiers[2].up_to",
        "p.tiers[0].rate_percent",
        "p.tiers[1].flat_amount",
    ]
    assert graduated_percentage_faults(GraduatedPercentagePrice(RATES), "p") == []
    assert [f.field for f in graduated_percentage_faults(GraduatedPercentagePrice(()), "p")] == [
        "p.tiers"
    ]


@pytest.mark.parametrize(
    ("units", "brought", "amount"),
    [("20", "10", "15"), ("0", "10", "0"), ("-1", "10", "0"), ("20", "-10", "0")],
)
def test_a_dynamic_price_is_what_the_events_bring(units: str, brought: str, amount: str) -> None:
    rows = rate_dynamic(DynamicPrice(D("1.5")), D(units), D(brought))
    assert amount_of(rows) == D(amount)


def test_a_multiplier_is_not_below_zero() -> None:
    assert [fault.field for fault in dynamic_faults(DynamicPrice(D(-1)), "p")] == ["p.multiplier"]
    assert dynamic_faults(DynamicPrice(), "p") == []
