"""An event counts once, for the right subscription."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.rating.domain.attribution import Catalog, Term, attribute


def a_term(name: str, start: int, end: int | None = None, *, default: bool = False) -> Term:
    return Term(
        term_id=UUID(int=ord(name)),
        subscription_id=name,
        subscription_start=start,
        default_for_usage=default,
        zone=ZoneInfo("UTC"),
        start=start,
        end=end,
        event_types=frozenset({"calls"}),
    )


@dataclass(frozen=True, slots=True)
class Sent:
    time: int
    subscription: str = ""
    type: str = "calls"


def taken(sent: Sent, catalog: Catalog) -> tuple[str | None, bool]:
    """Return the subscription that takes an event of acme's, and whether others could."""
    stretches = attribute(
        catalog, customer_id="acme", subscription_id=sent.subscription, event_type=sent.type
    )
    found = [stretch for stretch in stretches if stretch.start <= sent.time][-1]
    return (found.term.subscription_id if found.term else None), found.ambiguous


@pytest.mark.parametrize(
    ("terms", "sent", "expected"),
    [
        ([], Sent(5), (None, False)),
        ([a_term("a", 5)], Sent(4), (None, False)),
        ([a_term("a", 5)], Sent(5), ("a", False)),
        ([a_term("a", 0, 5)], Sent(5), (None, False)),
        ([a_term("a", 0, 5), a_term("b", 5)], Sent(5), ("b", False)),
        ([a_term("a", 0)], Sent(5, type="other"), (None, False)),
        ([a_term("a", 1), a_term("b", 0)], Sent(5), ("b", True)),
        ([a_term("a", 1, default=True), a_term("b", 0)], Sent(5), ("a", True)),
        ([a_term("a", 1), a_term("b", 0)], Sent(5, subscription="a"), ("a", False)),
        ([a_term("a", 1)], Sent(5, subscription="b"), (None, False)),
        ([a_term("a", 0, 5), a_term("b", 0)], Sent(5, subscription="a"), (None, False)),
    ],
)
def test_attribution(terms: list[Term], sent: Sent, expected: tuple[str | None, bool]) -> None:
    assert taken(sent, Catalog(1, {}, {"acme": terms})) == expected


def an_early(start: int, place: int) -> Term:
    """Return the term before a life of "a" that starts at `start`."""
    term = replace(a_term("a", start), term_id=UUID(int=place), start=-100, end=start, early=True)
    return term


LIVES = [an_early(10, 1), a_term("a", 10, 20), an_early(30, 2), replace(a_term("a", 30), start=30)]


@pytest.mark.parametrize(
    ("time", "place"),
    [(-101, None), (-100, 1), (9, 1), (10, ord("a")), (20, 2), (29, 2), (30, ord("a"))],
)
@pytest.mark.parametrize("terms", [LIVES, LIVES[::-1]])
def test_what_no_life_takes_is_for_the_early_term_of_the_next_one(
    terms: list[Term], time: int, place: int | None
) -> None:
    catalog = Catalog(1, {}, {"acme": terms})
    stretches = attribute(catalog, customer_id="acme", subscription_id="a", event_type="calls")
    found = [stretch for stretch in stretches if stretch.start <= time][-1]
    assert (found.term and found.term.term_id.int, found.ambiguous) == (place, False)


def test_an_early_term_takes_nothing_that_names_no_subscription() -> None:
    catalog = Catalog(1, {}, {"acme": LIVES})
    assert taken(Sent(5), catalog) == (None, False)
    assert taken(Sent(15), catalog) == ("a", False)


def test_another_customers_subscription_takes_nothing() -> None:
    catalog = Catalog(1, {}, {"blue": [a_term("a", 0)]})
    assert taken(Sent(5, subscription="a"), catalog) == (None, False)
