"""An event counts once, for the right subscription."""

from __future__ import annotations

from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.rating.domain.attribution import Catalog, Term, attribute
from services.rating.domain.event import Moment, UsageEvent


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


def an_event(time: int, *, subscription: str = "", type_: str = "calls") -> UsageEvent:
    return UsageEvent(1, "acme", subscription, type_, Moment(time, 0, 1, 0), {})


@pytest.mark.parametrize(
    ("terms", "event", "expected"),
    [
        ([], an_event(5), (None, False)),
        ([a_term("a", 5)], an_event(4), (None, False)),
        ([a_term("a", 5)], an_event(5), ("a", False)),
        ([a_term("a", 0, 5)], an_event(5), (None, False)),
        ([a_term("a", 0, 5), a_term("b", 5)], an_event(5), ("b", False)),
        ([a_term("a", 0)], an_event(5, type_="other"), (None, False)),
        ([a_term("a", 1), a_term("b", 0)], an_event(5), ("b", True)),
        ([a_term("a", 1, default=True), a_term("b", 0)], an_event(5), ("a", True)),
        ([a_term("a", 1), a_term("b", 0)], an_event(5, subscription="a"), ("a", False)),
        ([a_term("a", 1)], an_event(5, subscription="b"), (None, False)),
        ([a_term("a", 0, 5), a_term("b", 0)], an_event(5, subscription="a"), (None, False)),
    ],
)
def test_attribution(
    terms: list[Term], event: UsageEvent, expected: tuple[str | None, bool]
) -> None:
    term, ambiguous = attribute(event, Catalog(1, {}, {"acme": terms}))
    assert (term.subscription_id if term else None, ambiguous) == expected


def test_another_customers_subscription_takes_nothing() -> None:
    catalog = Catalog(1, {}, {"blue": [a_term("a", 0)]})
    assert attribute(an_event(5, subscription="a"), catalog) == (None, False)
