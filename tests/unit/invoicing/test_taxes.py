"""Each tax is the exact sum over its lines, rounded once, and shared out without a remainder."""

from decimal import Decimal

import pytest

from services.invoicing.domain.tax import Tax, Taxation, tax_lines


def taxed(amounts: list[int], taxes: list[Tax]) -> Taxation:
    """The taxes on lines that bear all of them."""
    return tax_lines(amounts, [taxes] * len(amounts))


TEN = Tax("gst", "GST", Decimal(10))
FORTY = Tax("luxury", "Luxury", Decimal(40))


def test_two_lines_of_one_cent_at_40_percent_bear_one_cent_together() -> None:
    taxation = taxed([0, 0, 1, 1], [FORTY])
    assert taxation.amount_minor == 1
    assert taxation.shares_minor == (0, 0, 1, 0)


def test_tax_is_taken_on_rounded_fees_and_rounded_once() -> None:
    twenty = Tax("vat", "VAT", Decimal(20))
    assert taxed([6833, 6833], [twenty]).amount_minor == 2733
    assert taxed([15060, 1707, 1606], [twenty]).amount_minor == 3675


def test_half_a_cent_is_rounded_away_from_zero() -> None:
    assert taxed([5], [TEN]).amount_minor == 1
    assert taxed([4], [TEN]).amount_minor == 0


def test_several_taxes_add_and_each_is_rounded_on_its_own() -> None:
    taxation = taxed([1], [FORTY, Tax("b", "B", Decimal(60))])
    assert [tax.amount_minor for tax in taxation.taxes] == [0, 1]
    assert taxation.shares_minor == (1,)


def test_a_negative_line_lowers_the_tax_and_bears_its_share() -> None:
    taxation = taxed([1000, -999], [TEN])
    assert taxation.amount_minor == 0
    assert taxation.shares_minor == (100, -100)
    assert taxation.taxes[0].base_minor == 1


def test_no_tax_makes_no_shares() -> None:
    assert taxed([100, 200], []).shares_minor == (0, 0)


@pytest.mark.parametrize("amounts", [[], [0], [0, 0]])
def test_nothing_bears_no_tax(amounts: list[int]) -> None:
    taxation = taxed(amounts, [TEN])
    assert taxation.amount_minor == 0
    assert taxation.shares_minor == (0,) * len(amounts)
