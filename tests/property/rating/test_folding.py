"""Usage does not depend on the order in which events arrive, nor on how they are batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from libs.period import local_day
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.batch import join
from services.rating.domain.cell import Cell, CellKey, merged, units
from services.rating.domain.columns import Slice, columns_of, event_at, ints, without
from services.rating.domain.counting import Rows, count_columns, count_singly
from services.rating.domain.event import Moment, PropertyValue, UsageEvent, instant_of
from services.rating.domain.folding import Folded, fold
from services.rating.domain.meter import Aggregation, Dimension, Meter

DAY_US = 86_400_000_000
START = datetime(2024, 3, 30, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")  # Its clocks change within the days of these events.
METERS = [
    Meter(
        meter_id=UUID(int=place),
        code=aggregation,
        name=aggregation,
        event_type="used",
        aggregation=aggregation,
        value_property="" if aggregation is Aggregation.COUNT else "v",
        dimensions=(Dimension("region", ()),),
        created_at=START,
    )
    for place, aggregation in enumerate(Aggregation, start=1)
]
TERM = Term(
    term_id=UUID(int=9),
    subscription_id="s",
    subscription_start=0,
    default_for_usage=False,
    zone=ZONE,
    start=0,
    end=None,
    event_types=frozenset({"used"}),
)
CATALOG = Catalog(1, {"used": METERS}, {"acme": [TERM]})

plain_values: st.SearchStrategy[PropertyValue] = st.one_of(
    st.decimals(min_value=-100, max_value=100, places=3),
    st.sampled_from(["1", "1.0", "7", "x", "", "1e2"]),
    st.booleans(),
)
LARGE = "123456789012345678901234567890.12345"
hard_values: st.SearchStrategy[PropertyValue] = st.one_of(
    plain_values,
    st.integers(-(2**63), 2**63).map(Decimal),
    st.sampled_from([Decimal("1e11"), Decimal("1e29"), Decimal("1e30"), Decimal("-1e-30")]),
    st.sampled_from([Decimal(LARGE), LARGE, "-1e29", "1e30", "0e500"]),
)


@st.composite
def logs(
    draw: st.DrawFn, values: st.SearchStrategy[PropertyValue] = plain_values
) -> list[UsageEvent]:
    """A log of events in log order, with times in any order."""
    times = draw(st.lists(st.integers(0, 4), max_size=25))
    base = int(START.timestamp()) * 1_000_000
    events = []
    for number, days in enumerate(times, start=1):
        properties: dict[str, PropertyValue] = {"v": draw(values)}
        if draw(st.booleans()):
            properties["region"] = draw(st.sampled_from(["eu", "us"]))
        if draw(st.booleans()):
            properties["operation_type"] = draw(st.sampled_from(["add", "remove"]))
        moment = Moment(base + days * DAY_US // 4 + DAY_US // 24 * 22, 0, number, 0)
        events.append(UsageEvent(1, "acme", "", "used", moment, properties))
    return events


def cells_of(batches: Sequence[Sequence[UsageEvent]]) -> dict[CellKey, Cell]:
    """Fold each batch alone and merge, as checkpoints do."""
    stored: dict[CellKey, Cell] = {}
    for batch in batches:
        for key, cell in fold([piece_of(each) for each in batch], {1: CATALOG}).cells.items():
            dimensions = cell.dimensions
            stored[key] = merged([stored[key], cell]) if key in stored else cell
            stored[key].dimensions = dimensions
    return stored


@given(logs(), st.data())
def test_usage_is_the_same_in_any_order_and_batches(
    log: list[UsageEvent], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(log))
    cut = data.draw(st.integers(0, len(log)))
    assert cells_of([shuffled[:cut], shuffled[cut:]]) == cells_of([log])
    assert cells_of([[event] for event in shuffled]) == cells_of([log])


@given(logs())
def test_the_whole_period_is_what_its_days_merge_to(log: list[UsageEvent]) -> None:
    stored = cells_of([log])
    for meter in METERS:
        whole = merged(cell for key, cell in stored.items() if key.meter_id == meter.meter_id)
        assert units(whole, meter.aggregation) == walked(log, meter.aggregation)


@given(logs())
def test_each_event_is_in_the_cell_of_its_local_day(log: list[UsageEvent]) -> None:
    count = next(meter for meter in METERS if meter.aggregation is Aggregation.COUNT)
    stored = cells_of([log])
    days = [local_day(instant_of(event.moment.time), ZONE) for event in log]
    for day in set(days):
        found = sum(
            cell.event_count
            for key, cell in stored.items()
            if key.meter_id == count.meter_id and key.day == day
        )
        assert found == days.count(day)


@given(logs(hard_values), st.sampled_from(METERS))
def test_columns_count_what_single_events_do(log: list[UsageEvent], meter: Meter) -> None:
    if not log:
        return
    batch = join([piece_of(event) for event in log])
    days = ints(local_day(instant_of(event.moment.time), ZONE).toordinal() for event in log)
    rows = Rows(batch, np.arange(len(log)), [TERM], np.zeros(len(log), dtype=np.int64), days)
    in_columns, singly = Folded(), Folded()
    assert count_columns(rows, meter, in_columns.add) == count_singly(rows, meter, singly.add)
    assert in_columns.cells == singly.cells


@given(logs(hard_values))
def test_columns_give_the_events_back(log: list[UsageEvent]) -> None:
    columns = columns_of(log)
    given_back = [
        event_at(columns, row, shard=0, number=event.moment.number) for row, event in enumerate(log)
    ]
    assert given_back == log


@given(logs(hard_values), st.data())
def test_columns_without_some_events_are_those_of_the_others(
    log: list[UsageEvent], data: st.DataObject
) -> None:
    placed = [
        replace(event, moment=event.moment._replace(number=1, place=place))
        for place, event in enumerate(log)
    ]
    gone = data.draw(st.sets(st.integers(0, 25)))
    left = without(columns_of(placed), gone)
    assert [event_at(left, row, shard=0, number=1) for row in range(len(left))] == [
        event for event in placed if event.moment.place not in gone
    ]


def piece_of(event: UsageEvent) -> Slice:
    number = event.moment.number
    return Slice(0, 0, number, 0, f"trace {number}", columns_of([event]))


def walked(log: Sequence[UsageEvent], aggregation: Aggregation) -> Decimal:
    """Walk the events in the order of their times, then of the log, and count naively."""
    ordered = sorted(log, key=lambda event: event.moment)
    numbers = [number for event in ordered if (number := as_number(event)) is not None]
    match aggregation:
        case Aggregation.COUNT:
            return Decimal(len(ordered))
        case Aggregation.SUM:
            return sum(numbers, Decimal(0))
        case Aggregation.MAX:
            return max(numbers, default=Decimal(0))
        case Aggregation.LATEST:
            return max(numbers[-1], Decimal(0)) if numbers else Decimal(0)
        case Aggregation.UNIQUE_COUNT:
            return Decimal(len(present_values(ordered)))


def as_number(event: UsageEvent) -> Decimal | None:
    value = event.properties["v"]
    if isinstance(value, str):
        return Decimal(value) if value not in ("x", "") else None
    return value if isinstance(value, Decimal) else None


def present_values(ordered: Sequence[UsageEvent]) -> set[str]:
    present: set[str] = set()
    for event in ordered:
        value = event.properties["v"]
        if isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, Decimal):
            text = f"{value.normalize() + 0:f}"
        else:
            text = value
        if not text:
            continue
        if event.properties.get("operation_type") == "remove":
            present.discard(text)
        else:
            present.add(text)
    return present
