"""A meter's own rounding."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.rating.domain.rounding import Rounding, RoundingMode, round_units, rounding_faults


@pytest.mark.parametrize(
    ("units", "places", "nearest", "up", "down"),
    [
        ("2.5", 0, "3", "3", "2"),
        ("-2.5", 0, "-3", "-2", "-3"),
        ("2.4999", 0, "2", "3", "2"),
        ("-0.4", 0, "0", "0", "-1"),
        ("1.005", 2, "1.01", "1.01", "1"),
        ("123.456", -2, "100", "200", "100"),
        ("-150", -2, "-200", "-100", "-200"),
        ("49", -2, "0", "100", "0"),
        ("7", 3, "7", "7", "7"),
        ("0", -30, "0", "0", "0"),
        ("0.1", -30, "0", "1e30", "0"),
        ("1e40", 30, "1e40", "1e40", "1e40"),
    ],
)
def test_units_are_rounded(units: str, places: int, nearest: str, up: str, down: str) -> None:
    results = [round_units(Decimal(units), Rounding(mode, places)) for mode in RoundingMode]
    assert results == [Decimal(nearest), Decimal(up), Decimal(down)]
    assert "-0" not in map(str, results)


def test_without_rounding_units_stay_as_they_are() -> None:
    assert str(round_units(Decimal("1.50"), None)) == "1.50"


def test_thirty_places_are_the_most() -> None:
    assert rounding_faults(Rounding(RoundingMode.CEIL, 30), "rounding") == []
    assert rounding_faults(Rounding(RoundingMode.CEIL, -30), "rounding") == []
    [fault] = rounding_faults(Rounding(RoundingMode.CEIL, -31), "meters[0].rounding")
    assert str(fault) == "meters[0].rounding.places: is -31, not from -30 to 30"
