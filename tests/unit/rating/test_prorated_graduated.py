"""Prorated graduated prices: tables that can be checked in the head."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from libs.money import round_minor
from services.rating.domain.price import GraduatedPrice, Tier, amount_of
from services.rating.domain.prorated_graduated import rate_prorated_graduated
from services.rating.domain.proration import Entry

D = Decimal
# 10 each up to 5 units, and 100 flat; 5 each above, and 50 flat.
PRICE = GraduatedPrice((Tier(D(5), D(10), D(100)), Tier(None, D(5), D(50))))


def entries(text: str) -> list[Entry]:
    """Read "5*1/2 -3": 5 units for half a period, then 3 fewer for none of it."""
    words = (word.partition("*") for word in text.split())
    return [Entry(D(units), Fraction(weight or 0)) for units, _, weight in words]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("", "100"),  # As without usage: the flat amount of the first tier.
        ("5*1", "150"),
        ("5*1/2", "125"),
        ("4*1/2 1*1/5", "122"),
        ("5*1/2 10*1/5", "185"),
        ("7*1/2", "180"),  # 5 of them in the first tier, 2 in the second.
        ("7*1/2 -2*1/10", "179"),  # The 2 that go give back what they cost, from then on.
        ("7*1/2 -7", "180"),  # They are gone, and the flat amount of what was reached stays.
        ("5*1/2 -5*1/2", "100"),
        ("5*1/2 -1*1 -1*1 -1*1", "100"),  # More given back than taken.
        ("5*1/2 -6*1/5", "0"),
        ("-3*1 4*1/2", "100"),  # Below zero the first tier goes on.
        ("-3*1 9*1", "205"),
    ],
)
def test_entries_cost_their_share_of_the_tiers_they_move_through(text: str, amount: str) -> None:
    assert amount_of(rate_prorated_graduated(PRICE, entries(text))) == D(amount)


def test_rows_show_weighed_units_by_tier() -> None:
    first, second = rate_prorated_graduated(PRICE, entries("7*1/2"))
    assert (first.units, first.flat_amount, first.amount, first.up_to) == (
        D("2.5"),
        D(100),
        D(125),
        D(5),
    )
    assert (second.units, second.flat_amount, second.amount) == (D(1), D(50), D(55))


def test_what_is_given_back_beyond_what_was_taken_is_lifted_to_nothing() -> None:
    rows = rate_prorated_graduated(PRICE, entries("5*1/2 -1*1 -1*1 -1*1"))
    assert [(row.label, row.amount) for row in rows] == [("tier", D(95)), ("minimum", D(5))]


def test_a_cap_holds_a_prorated_tier_too() -> None:
    price = GraduatedPrice((Tier(None, D(10), D(100), flat_cap=D(120)),))
    assert amount_of(rate_prorated_graduated(price, entries("2*1/2"))) == 110
    assert amount_of(rate_prorated_graduated(price, entries("9*1/2"))) == 120


def test_thirds_of_a_cent_add_up_to_whole_halves() -> None:
    tiers = (
        Tier(D(1), D("0.005"), D(0)),
        Tier(D(2), D("0.005"), D(0)),
        Tier(None, D("0.005"), D(0)),
    )
    amount = amount_of(rate_prorated_graduated(GraduatedPrice(tiers), entries("3*1/3")))
    assert amount == D("0.005")
    assert round_minor(amount, "EUR") == 1
