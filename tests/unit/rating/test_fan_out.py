"""Which subscriptions count an event where one of an event type's meters is fanned out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.rating.domain.attribution import Catalog, Stretch, Term, attribute
from services.rating.domain.meter import Aggregation, Meter

FAN_OUT = Meter(
    meter_id=UUID(int=1),
    code="seats",
    name="seats",
    event_type="calls",
    aggregation=Aggregation.COUNT,
    value_property="",
    dimensions=(),
    created_at=datetime(2024, 1, 1, tzinfo=UTC),
    fan_out=True,
)
ONCE = replace(FAN_OUT, fan_out=False)


def a_term(name: str, charges: str, *, start: int = 0, default: bool = False) -> Term:
    """Return a term whose plan charges a meter that counts "once", a "fanned" one, or "both"."""
    calls, none = frozenset({"calls"}), frozenset[str]()
    return Term(
        term_id=UUID(int=ord(name)),
        subscription_id=name,
        subscription_start=start,
        default_for_usage=default,
        zone=ZoneInfo("UTC"),
        start=start,
        end=None,
        event_types=none if charges == "fanned" else calls,
        fanned_types=none if charges == "once" else calls,
    )


def at_9(terms: list[Term], *, named: str = "") -> Stretch:
    catalog = Catalog(1, {}, {"acme": terms})
    stretches = attribute(catalog, customer_id="acme", subscription_id=named, event_type="calls")
    return [stretch for stretch in stretches if stretch.start <= 9][-1]


def ids(terms: tuple[Term, ...]) -> str:
    return "".join(term.subscription_id for term in terms)


@pytest.mark.parametrize(
    ("terms", "once", "fanned", "ambiguous"),
    [
        ([a_term("a", "both"), a_term("b", "both", start=1)], "a", "ab", True),
        ([a_term("a", "fanned"), a_term("b", "fanned", start=1)], "a", "ab", False),
        ([a_term("a", "fanned"), a_term("b", "once", start=1)], "b", "ba", False),
        ([a_term("a", "once"), a_term("b", "once", start=1)], "a", "a", True),
        ([a_term("a", "once"), a_term("b", "both", start=1)], "a", "ab", True),
        ([a_term("a", "both"), a_term("b", "both", start=1, default=True)], "b", "ba", True),
        ([a_term("a", "both"), a_term("b", "both", start=10)], "a", "a", False),
        ([], "", "", False),
    ],
)
def test_it_counts_for_all_who_are_charged_for_the_meter_and_once_for_other_meters(
    terms: list[Term], once: str, fanned: str, ambiguous: bool
) -> None:
    found = at_9(terms)
    assert (ids(found.takers(ONCE)), ids(found.takers(FAN_OUT))) == (once, fanned)
    assert found.ambiguous == ambiguous


def test_an_event_that_names_a_subscription_counts_for_that_one_alone() -> None:
    found = at_9([a_term("a", "both"), a_term("b", "both")], named="b")
    assert (ids(found.takers(ONCE)), ids(found.takers(FAN_OUT))) == ("b", "b")
    assert not found.ambiguous


def test_of_two_lives_of_the_subscription_that_an_event_names_one_counts_it() -> None:
    lives = [replace(a_term(name, "both"), subscription_id="s") for name in "ab"]
    assert ids(at_9(lives, named="s").takers(FAN_OUT)) == "s"
    assert ids(at_9(lives).takers(FAN_OUT)) == "ss"
