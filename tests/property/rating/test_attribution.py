"""Events folded together are attributed as each of them is alone."""

from __future__ import annotations

from collections import Counter
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.attribution import Catalog, Term, who_takes
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import Moment, UsageEvent
from services.rating.domain.folding import fold
from services.rating.domain.meter import Aggregation, Meter
from tests.property.rating.test_folding import START

CUSTOMERS, SUBSCRIPTIONS = ("acme", "blue", "coral"), ("a", "b", "c", "d")
CALLS = Meter(
    meter_id=UUID(int=1),
    code="calls",
    name="Calls",
    event_type="used",
    aggregation=Aggregation.COUNT,
    value_property="",
    dimensions=(),
    created_at=START,
)
times = st.integers(0, 12)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """Up to four subscriptions of three customers, from some time on or for a while."""
    terms: dict[str, list[Term]] = {}
    for number, name in enumerate(SUBSCRIPTIONS, start=1):
        customer, start = draw(st.sampled_from(CUSTOMERS)), draw(times)
        term = Term(
            term_id=UUID(int=number),
            subscription_id=name,
            subscription_start=start,
            default_for_usage=draw(st.booleans()),
            zone=ZoneInfo("UTC"),
            start=start,
            end=draw(st.none() | st.integers(1, 6).map(start.__add__)),
            event_types=frozenset({"used"}) if draw(st.booleans()) else frozenset(),
        )
        terms.setdefault(customer, []).append(term)
    return Catalog(1, {"used": [CALLS]}, terms)


@st.composite
def events(draw: st.DrawFn) -> list[UsageEvent]:
    """Events of these customers, some of them for a subscription."""
    named = st.sampled_from(["", *SUBSCRIPTIONS])
    whose = draw(st.lists(st.tuples(st.sampled_from(CUSTOMERS), named, times), max_size=25))
    return [
        UsageEvent(1, customer, subscription, "used", Moment(time, 0, 1, place), {})
        for place, (customer, subscription, time) in enumerate(whose)
    ]


@given(catalogs(), events())
def test_events_count_for_who_takes_each_alone(catalog: Catalog, log: list[UsageEvent]) -> None:
    folded = fold([Slice(0, 0, 1, 0, "", columns_of(log))], {1: catalog})
    stretches = list(who_takes(log, catalog))
    taken = Counter(each.term.term_id for each in stretches if each.term is not None)
    assert {key.term_id: cell.event_count for key, cell in folded.cells.items()} == taken
    assert folded.unattributed.total() == len(log) - taken.total()
    assert folded.ambiguous.total() == sum(each.ambiguous for each in stretches)
