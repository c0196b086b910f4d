"""Decimals: what is read, and its one canonical text."""

import pytest

from services.ingest.domain.number import Number, parse_number


@pytest.mark.parametrize(
    ("text", "number", "canonical"),
    [
        ("1.50", Number(150, -2), "1.5"),
        ("+7", Number(7, 0), "7"),
        ("-0.0", Number(0, 0), "0"),
        (".5", Number(5, -1), "0.5"),
        ("5.", Number(5, 0), "5"),
        ("3e2", Number(3, 2), "300"),
        ("1.5E-3", Number(15, -4), "0.0015"),
        ("-12.340", Number(-12340, -3), "-12.34"),
        ("0e999999", Number(0, 0), "0"),
        ("1e29", Number(1, 29), "1" + "0" * 29),
        ("1e-30", Number(1, -30), "0." + "0" * 29 + "1"),
        ("10e-31", Number(10, -31), "0." + "0" * 29 + "1"),
    ],
)
def test_a_decimal_is_read_with_its_digits(text: str, number: Number, canonical: str) -> None:
    assert parse_number(text) == number
    assert number.canonical() == canonical


@pytest.mark.parametrize(
    "text",
    ["", "1,5", "0x1", "NaN", "inf", " 1", "1 ", "1e", "--1", ".", "1_0", "٣", "1e30", "1e-31"]
    + ["0." + "0" * 30 + "1", "1e99999999999999999999", "1" * 31, "1" * 65],
)
def test_what_breaks_the_grammar_is_no_decimal(text: str) -> None:
    assert parse_number(text) is None
