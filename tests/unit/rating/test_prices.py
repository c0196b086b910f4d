"""Price models: tables that can be checked in the head."""

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
    rate,
    rate_volume,
    tier_faults,
)

D = Decimal


def tiers(*rows: tuple[str | None, str, str]) -> tuple[Tier, ...]:
    return tuple(
        Tier(None if up_to is None else D(up_to), D(unit), D(flat)) for up_to, unit, flat in rows
    )


STEPS = tiers(("10", "10", "2"), ("20", "5", "3"), (None, "1", "4"))
BANDS = tiers(("100", "2", "10"), ("200", "1", "0"), (None, "0.5", "50"))


@pytest.mark.parametrize(
    ("price", "units", "amount"),
    [
        (StandardPrice(D("0.0000025")), "1000000", "2.5"),
        (StandardPrice(D("3")), "0", "0"),
        (StandardPrice(D("3")), "-5", "0"),
        (PackagePrice(D("100"), D("10"), D("0")), "3", "100"),
        (PackagePrice(D("100"), D("10"), D("0")), "10", "100"),
        (PackagePrice(D("100"), D("10"), D("0")), "10.001", "200"),
        (PackagePrice(D("100"), D("10"), D("200")), "121", "0"),
        (PackagePrice(D("100"), D("10"), D("5")), "16", "200"),
        (GraduatedPrice(STEPS), "0", "2"),
        (GraduatedPrice(STEPS), "-1", "2"),
        (GraduatedPrice(STEPS), "10", "102"),
        (GraduatedPrice(STEPS), "10.5", "107.5"),
        (GraduatedPrice(STEPS), "25", "164"),
        (VolumePrice(BANDS), "0", "10"),
        (VolumePrice(BANDS), "100", "210"),
        (VolumePrice(BANDS), "100.5", "100.5"),
        (VolumePrice(BANDS), "1000", "550"),
    ],
)
def test_a_price_gives_the_amount_in_the_table(price: Price, units: str, amount: str) -> None:
    assert amount_of(rate(price, D(units))) == D(amount)


def test_graduated_rows_show_each_tier_reached() -> None:
    rows = rate(GraduatedPrice(STEPS), D("12"))
    assert [(row.units, row.unit_amount, row.flat_amount, row.amount) for row in rows] == [
        (D(10), D(10), D(2), D(102)),
        (D(2), D(5), D(3), D(13)),
    ]
    assert [row.up_to for row in rows] == [D(10), D(20)]


def test_free_units_of_a_package_are_a_row() -> None:
    rows = rate(PackagePrice(D("7"), D("10"), D("5")), D("16"))
    assert [(row.label, row.units, row.amount) for row in rows] == [
        ("free", D(5), D(0)),
        ("package", D(2), D(14)),
    ]


CAPPED = (Tier(D(10), D(1), D(2), flat_cap=D(5)), Tier(None, D(1), D(0), flat_cap=D(0)))


@pytest.mark.parametrize(
    ("units", "amount"), [("0", "2"), ("3", "5"), ("4", "5"), ("10", "5"), ("12", "5")]
)
def test_a_tier_costs_at_most_its_cap(units: str, amount: str) -> None:
    assert amount_of(rate(GraduatedPrice(CAPPED), D(units))) == D(amount)


def test_what_the_cap_takes_off_is_a_row() -> None:
    rows = rate(GraduatedPrice(CAPPED), D(7))
    assert [(row.label, row.amount, row.up_to) for row in rows] == [
        ("tier", D(9), D(10)),
        ("cap", D(-4), D(10)),
    ]


def test_a_cap_of_a_volume_tier_holds_for_all_units() -> None:
    assert amount_of(rate(VolumePrice(CAPPED), D(7))) == D(5)


@pytest.mark.parametrize(
    ("units", "full_units", "amount"),
    [
        ("198.6", "300", "149.3"),  # 198.6 x 0.5 + 50: the tier of 300, the price of 198.6.
        ("50", "100", "110"),
        ("50", "101", "50"),
        ("-1", "101", "0"),
        ("0", "-5", "10"),
    ],
)
def test_prorated_volume_is_priced_by_the_tier_of_the_full_units(
    units: str, full_units: str, amount: str
) -> None:
    rows = rate_volume(VolumePrice(BANDS), D(units), full_units=D(full_units))
    assert amount_of(rows) == D(amount)


ALL_WRONG = ["t[1].up_to", "t[0].unit_amount", "t[0].flat_amount", "t[1].flat_cap"]


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        (tiers(), ["t"]),
        (tiers(("10", "1", "0")), ["t[0].up_to"]),
        (tiers((None, "1", "0"), (None, "1", "0")), ["t[0].up_to"]),
        (tiers(("10", "1", "0"), ("10", "1", "0"), (None, "1", "0")), ["t[1].up_to"]),
        (tiers(("0", "1", "0"), (None, "1", "0")), ["t[0].up_to"]),
        (tiers(*[(str(n), "1", "0") for n in range(1, 102)]), ["t"]),
        ((Tier(D(1), D(-1), D(-2)), Tier(D(2), D(1), D(1), D(-3))), ALL_WRONG),
        (STEPS, []),
    ],
)
def test_a_tier_table_ascends_and_only_its_end_is_open(
    table: tuple[Tier, ...], fields: list[str]
) -> None:
    assert [fault.field for fault in tier_faults(table, "t")] == fields
