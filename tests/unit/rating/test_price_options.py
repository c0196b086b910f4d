"""What every charge may add to its price: tables that can be checked in the head."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    Price,
    StandardPrice,
    Tier,
    VolumePrice,
    amount_of,
    flat_row,
    rate,
)
from services.rating.domain.price_options import (
    Conversion,
    ConversionRounding,
    Discounted,
    PriceOptions,
    PricingUnit,
    adjust,
    convert,
    option_faults,
    units_to_price,
)
from services.rating.domain.rows_between import rows_between
from services.rating.domain.true_up import true_up_minor

D = Decimal
STEPS = (Tier(D(10), D(2), D(5)), Tier(D(20), D(1), D(3)), Tier(None, D(0), D(0)))


@pytest.mark.parametrize(
    ("rounding", "units", "converted"),
    [
        (ConversionRounding.NONE, "1400", "1.4"),
        (ConversionRounding.UP, "1001", "2"),
        (ConversionRounding.UP, "1000", "1"),
        (ConversionRounding.DOWN, "1999", "1"),
        (ConversionRounding.HALF_UP, "1500", "2"),
        (ConversionRounding.HALF_UP, "1499", "1"),
        (ConversionRounding.HALF_UP, "-1500", "-2"),
    ],
)
def test_units_are_converted_and_rounded_as_asked(
    rounding: ConversionRounding, units: str, converted: str
) -> None:
    assert convert(Conversion(divisor=D(1000), rounding=rounding), D(units)) == D(converted)


def test_a_conversion_multiplies_before_it_divides() -> None:
    assert convert(Conversion(D(3), D(6)), D(4)) == 2
    assert convert(Conversion(divisor=D(3)), D(2)) == D("0." + "6" * 29 + "7")


@pytest.mark.parametrize(
    ("before", "units", "left"),
    [
        ("0", "4", ("0", "0", "4")),
        ("0", "15", ("0", "5", "10")),
        ("5", "15", ("0", "10", "5")),
        ("10", "15", ("0", "15", "0")),
        ("12", "15", ("2", "15", "0")),
        ("0", "-3", ("0", "-3", "0")),
        ("-3", "12", ("-3", "2", "10")),
    ],
)
def test_free_units_are_taken_off_of_what_came_first(
    before: str, units: str, left: tuple[str, str, str]
) -> None:
    options = PriceOptions(usage_discount=D(10))
    expected = Discounted(*(D(value) for value in left))
    assert units_to_price(options, D(units), before=D(before)) == expected


def test_units_are_converted_before_some_are_free() -> None:
    options = PriceOptions(
        Conversion(divisor=D(10), rounding=ConversionRounding.UP), usage_discount=D(3)
    )
    assert units_to_price(options, D(45), before=D(11)) == Discounted(D(0), D(4), D(1))


@pytest.mark.parametrize(
    ("options", "billed", "changes"),
    [
        (PriceOptions(), "0", []),
        (PriceOptions(percentage_discount=D(10)), "0", [("discount", "-5")]),
        (PriceOptions(percentage_discount=D(100)), "0", [("discount", "-50")]),
        (PriceOptions(maximum_amount=D(50)), "0", []),
        (PriceOptions(maximum_amount=D(40)), "0", [("maximum", "-10")]),
        (PriceOptions(maximum_amount=D(100)), "70", [("maximum", "-20")]),
        (PriceOptions(maximum_amount=D(100)), "200", [("maximum", "-50")]),
        (PriceOptions(minimum_amount=D(60)), "0", [("minimum", "10")]),
        (PriceOptions(minimum_amount=D(60)), "10", []),
        (PriceOptions(minimum_amount=D(50)), "0", []),
        (
            PriceOptions(percentage_discount=D(10), maximum_amount=D(40)),
            "0",
            [("discount", "-5"), ("maximum", "-5")],
        ),
        (
            PriceOptions(percentage_discount=D(10), minimum_amount=D(50)),
            "0",
            [("discount", "-5"), ("minimum", "5")],
        ),
    ],
)
def test_discount_maximum_and_minimum_follow_one_another(
    options: PriceOptions, billed: str, changes: list[tuple[str, str]]
) -> None:
    rows = (flat_row("units", D(50)),)
    adjusted = adjust(rows, options, billed=D(billed), closing=True)
    assert adjusted[0] == rows[0]
    assert [(row.label, row.amount) for row in adjusted[1:]] == [(n, D(a)) for n, a in changes]


def test_an_amount_in_a_custom_unit_is_converted_before_it_is_lowered() -> None:
    credits = PricingUnit("credits", D("0.05"))
    options = PriceOptions(percentage_discount=D(10), maximum_amount=D(2), pricing_unit=credits)
    rows = (flat_row("units", D(30)), flat_row("tier", D(20)))  # 50 credits are 2.50.
    adjusted = adjust(rows, options, closing=False)
    assert [
        (row.label, row.units, row.unit_amount, row.amount, row.pricing_unit) for row in adjusted
    ] == [
        ("units", D(0), D(0), D(30), "credits"),
        ("tier", D(0), D(0), D(20), "credits"),
        ("currency", D(50), D("0.05"), D("2.5"), ""),
        ("discount", D(0), D(0), D("-0.25"), ""),
        ("maximum", D(0), D(0), D("-0.25"), ""),
    ]
    assert amount_of(adjusted) == 2


def test_a_custom_unit_costs_something() -> None:
    worst = PriceOptions(pricing_unit=PricingUnit("credits", D(0)))
    assert [str(fault) for fault in option_faults(worst, "c")] == [
        "c.pricing_unit.conversion_rate: 0 is not above 0"
    ]


def test_a_minimum_waits_for_the_close() -> None:
    options = PriceOptions(minimum_amount=D(60))
    assert adjust((), options, closing=False) == ()
    assert amount_of(adjust((), options, closing=True)) == 60


def test_an_amount_below_zero_is_not_lowered_by_a_maximum() -> None:
    rows = (flat_row("units", D(-5)),)
    assert adjust(rows, PriceOptions(maximum_amount=D(10)), billed=D(20), closing=False) == rows


def test_every_fault_of_the_options_is_found_at_once() -> None:
    worst = PriceOptions(Conversion(D(0), D(-1)), D(-1), D(101), D(-3), D(-2))
    assert [str(fault) for fault in option_faults(worst, "c")] == [
        "c.usage_discount: -1 is below 0",
        "c.maximum_amount: -3 is below 0",
        "c.minimum_amount: -2 is below 0",
        "c.percentage_discount: 101 is above 100",
        "c.minimum_amount: -2 is above maximum_amount, which is -3",
        "c.conversion.multiplier: 0 is not above 0",
        "c.conversion.divisor: -1 is not above 0",
    ]


def test_options_at_their_bounds_are_sound() -> None:
    assert option_faults(PriceOptions(), "c") == []
    tight = PriceOptions(Conversion(), D(0), D(100), D(5), D(5))
    assert option_faults(tight, "c") == []


@pytest.mark.parametrize(
    ("price", "before", "after", "steps"),
    [
        (StandardPrice(D(2)), "10", "12", [("units", "2", "4")]),
        (StandardPrice(D(2)), "12", "10", [("units", "-2", "-4")]),
        (StandardPrice(D(2)), "10", "10", []),
        (PackagePrice(D(9), D(10), D(5)), "3", "16", [("free", "2", "0"), ("package", "2", "18")]),
        (PackagePrice(D(9), D(10), D(0)), "11", "20", []),
        (GraduatedPrice(STEPS), "0", "3", [("tier", "3", "6")]),
        (GraduatedPrice(STEPS), "8", "11", [("tier", "2", "4"), ("tier", "1", "4")]),
        (GraduatedPrice(STEPS), "11", "8", [("tier", "-2", "-4"), ("tier", "-1", "-4")]),
        (VolumePrice(STEPS), "8", "11", [("tier", "11", "14"), ("tier", "-8", "-21")]),
    ],
)
def test_steps_between_two_prices_are_what_the_later_one_adds(
    price: Price, before: str, after: str, steps: list[tuple[str, str, str]]
) -> None:
    rows = rows_between(rate(price, D(before)), rate(price, D(after)))
    expected = [(label, D(units), D(amount)) for label, units, amount in steps]
    assert [(row.label, row.units, row.amount) for row in rows] == expected


def test_of_nothing_at_all_the_first_flat_amount_comes_new() -> None:
    rows = rate(GraduatedPrice(STEPS), D(0))
    assert rows_between((), rows) == rows
    assert rows_between(rows, rows) == ()


@pytest.mark.parametrize(
    ("minimum", "used", "days", "lacks"),
    [
        ("10", 800, 25, 93),  # 8.928… - 8.
        ("10", 893, 25, 0),
        ("10", 892, 25, 1),
        ("10", 800, 28, 200),
        ("10", 1200, 28, 0),
        ("0", 0, 28, 0),
    ],
)
def test_what_lacks_of_a_minimum_counts_its_days(
    minimum: str, used: int, days: int, lacks: int
) -> None:
    assert true_up_minor(D(minimum), used, days=days, of_days=28, currency="EUR") == lacks
