"""A meter that is fanned out counts for each subscription as if it were the customer's only one."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.cell import Cell, CellKey
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import Moment, UsageEvent
from services.rating.domain.folding import fold
from services.rating.domain.meter import Aggregation
from tests.property.rating.test_folding import DAY_US, METERS, TERM

FANNED = [
    replace(each, meter_id=UUID(int=place + 500), fan_out=True) for place, each in enumerate(METERS)
]
ZONES = ("UTC", "Asia/Tokyo", "America/New_York")
USED, NONE = frozenset({"used"}), frozenset[str]()


@st.composite
def terms(draw: st.DrawFn) -> list[Term]:
    """Up to four subscriptions of a customer, on plans that charge either kind of meter."""
    found = []
    for place in range(draw(st.integers(1, 4))):
        once, fanned = draw(st.sampled_from([(USED, NONE), (NONE, USED), (USED, USED)]))
        start = draw(st.integers(0, 6)) * DAY_US
        days = draw(st.none() | st.integers(0, 6))
        found.append(
            replace(
                TERM,
                term_id=UUID(int=place + 1),
                subscription_id=f"s{place}",
                subscription_start=start,
                start=start,
                end=None if days is None else start + days * DAY_US,
                zone=ZoneInfo(draw(st.sampled_from(ZONES))),
                default_for_usage=draw(st.booleans()),
                event_types=once,
                fanned_types=fanned,
            )
        )
    return found


@st.composite
def logs(draw: st.DrawFn) -> list[UsageEvent]:
    """Events of the customer, more than are counted one by one; some name a subscription."""
    events = []
    for number in range(draw(st.integers(0, 30))):
        named = draw(st.sampled_from(["", "", "s0", "s1"]))
        moment = Moment(draw(st.integers(0, 16)) * DAY_US // 2, 0, number + 1, 0)
        value = draw(st.sampled_from(["1", "-2.5", "7", "x"]))
        events.append(UsageEvent(1, "acme", named, "used", moment, {"v": value}))
    return events


def folded(events: list[UsageEvent], catalog: Catalog) -> dict[CellKey, Cell]:
    slices = [
        Slice(0, 0, event.moment.number, event.moment.number - 1, "", columns_of([event]))
        for event in events
    ]
    return fold(slices, {1: catalog}).cells


@given(terms(), logs())
def test_each_subscription_counts_what_it_would_count_alone(
    owned: list[Term], log: list[UsageEvent]
) -> None:
    together = folded(log, Catalog(1, {"used": [*METERS, *FANNED]}, {"acme": owned}))
    for term in owned:
        if not term.fanned_types:
            continue
        alone = folded(log, Catalog(1, {"used": FANNED}, {"acme": [term]}))
        theirs = {
            key: cell
            for key, cell in together.items()
            if key.term_id == term.term_id and key.meter_id.int >= 500
        }
        assert theirs == alone


@given(terms(), logs())
def test_other_meters_of_the_type_count_each_event_once(
    owned: list[Term], log: list[UsageEvent]
) -> None:
    [count] = [each for each in METERS if each.aggregation is Aggregation.COUNT]
    together = folded(log, Catalog(1, {"used": [count, *FANNED]}, {"acme": owned}))
    counted = sum(cell.event_count for key, cell in together.items() if key.meter_id.int < 500)
    active = [
        event
        for event in log
        if any(
            term.is_active(event.moment.time)
            and event.subscription_id in ("", term.subscription_id)
            for term in owned
        )
    ]
    assert counted == len(active)
