"""What meters read from properties."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.rating.domain.event import PropertyValue
from services.rating.domain.value import parse_value, text_of


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12.5", "12.5"),
        ("+5", "5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1e-7", "0.0000001"),
        ("-0", "0"),
        ("0e999", "0"),
        (Decimal("1.50"), "1.5"),
        ("9" * 30, "9" * 30),
        ("1.0" + "0" * 40, "1"),
    ],
)
def test_a_number_counts(value: PropertyValue, number: str) -> None:
    parsed = parse_value(value)
    assert parsed is not None and parsed == Decimal(number)


@pytest.mark.parametrize(
    "value",
    [
        None, "", " 5", "5 ", "5 kg", "abc", "NaN", "Infinity", "1,5", "0x10", "١", "--1", "1e",
        True, False, "1e30", "1e-31", "1e99999999999999999999", "1" * 65, "5\n",
    ],
)  # fmt: skip
def test_what_is_no_number_within_bounds_does_not_count(value: PropertyValue | None) -> None:
    assert parse_value(value) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("eu", "eu"),
        ("1.50", "1.50"),
        (Decimal("1.50"), "1.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.0"), "0"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_numbers_are_compared_in_plain_canonical_form(
    value: PropertyValue | None, text: str
) -> None:
    assert text_of(value) == text
