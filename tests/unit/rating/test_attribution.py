"""An event counts once, for the right subscription."""

from __future__ import annotations

from dataclasses import dataclass
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


def test_another_customers_subscription_takes_nothing() -> None:
    catalog = Catalog(1, {}, {"blue": [a_term("a", 0)]})
    assert taken(Sent(5, subscription="a"), catalog) == (None, False)
