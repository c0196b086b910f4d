"""Usage does not depend on the order in which events arrive, nor on how they are batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from libs.money import EXACT
from libs.period import local_day
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.batch import join
from services.rating.domain.cell import Cell, CellKey, merged
from services.rating.domain.columns import Slice, columns_of, event_at, ints, without
from services.rating.domain.counting import Rows, count_columns, count_singly
from services.rating.domain.event import Moment, PropertyValue, UsageEvent, instant_of
from services.rating.domain.folding import Folded, fold
from services.rating.domain.meter import Aggregation, Dimension, Meter, ValueInput
from services.rating.domain.usage import Span, units

DAY_US = 86_400_000_000
START = datetime(2024, 3, 30, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")  # Its clocks change within the days of these events.
VALUE = "event.properties.v"
WORDS = "concat(event.properties.v, 'x')"
DOUBLE = "if(event.properties.v > 50, 100 / event.properties.v, event.properties.v * 1e29)"


def a_meter(place: int, aggregation: Aggregation, **options: Any) -> Meter:
    counts = aggregation is Aggregation.COUNT or "expression" in options
    return Meter(
        meter_id=UUID(int=place),
        code=f"{aggregation} {place}",
        name=aggregation,
        event_type="used",
        aggregation=aggregation,
        value_property="" if counts else "v",
        dimensions=(Dimension("region", ()),),
        created_at=START,
        **options,
    )


PERCENTILES = (50, 90, 95, 99)
UNIQUE, WEIGHTED = Aggregation.UNIQUE_COUNT, Aggregation.WEIGHTED_SUM
PLAIN = [each for each in Aggregation if each not in (WEIGHTED, Aggregation.PERCENTILE)]
OPTIONS: list[tuple[Aggregation, dict[str, Any]]] = [
    *((each, {}) for each in PLAIN),
    *((WEIGHTED, {"value_input": each}) for each in ValueInput),
    *((Aggregation.PERCENTILE, {"percentile": each}) for each in PERCENTILES),
    (UNIQUE, {"recurring": True}),
]
METERS = [a_meter(place, each, **more) for place, (each, more) in enumerate(OPTIONS, start=1)]
# Of the same values, but computed; of large ones; and of texts.
COMPUTED = [
    *(replace(each, expression=VALUE, value_property="") for each in METERS[1:]),
    *(replace(each, expression=DOUBLE, value_property="") for each in METERS[1:]),
    a_meter(99, UNIQUE, expression=WORDS),
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
SPAN = Span(end=int(START.timestamp()) * 1_000_000 + 2 * DAY_US, whole=30 * DAY_US)

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
        amount = draw(st.none() | st.decimals(min_value=-5, max_value=5, places=4))
        events.append(UsageEvent(1, "acme", "", "used", moment, properties, amount))
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
        counted = log if meter.aggregation is Aggregation.COUNT else having_value(log, meter)
        assert units(whole, meter, span=SPAN) == rounded(walked(counted, meter))
        assert whole.event_count == len(counted)
        amounts = [event.amount for event in counted if event.amount is not None]
        assert whole.amount == (sum(amounts) if amounts else None)


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


@given(logs(hard_values), st.sampled_from([*METERS, *COMPUTED]))
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


def walked(log: Sequence[UsageEvent], meter: Meter) -> Decimal | Fraction:
    """Walk the events in the order of their times, then of the log, and count naively."""
    ordered = sorted(log, key=lambda event: event.moment)
    numbers = [number for event in ordered if (number := as_number(event)) is not None]
    match meter.aggregation:
        case Aggregation.COUNT:
            return Decimal(len(ordered))
        case Aggregation.SUM:
            return sum(numbers, Decimal(0))
        case Aggregation.MAX:
            return max(numbers, default=Decimal(0))
        case Aggregation.MIN:
            return min(numbers, default=Decimal(0))
        case Aggregation.AVG:
            return sum(map(Fraction, numbers), Fraction(0)) / max(len(numbers), 1)
        case Aggregation.LATEST:
            return max(numbers[-1], Decimal(0)) if numbers else Decimal(0)
        case Aggregation.UNIQUE_COUNT:
            return Decimal(len(present_values(ordered)))
        case Aggregation.WEIGHTED_SUM:
            return area_under(ordered, adds=meter.value_input is ValueInput.DELTA)
        case Aggregation.PERCENTILE:
            place = ceil(Fraction(meter.percentile, 100) * len(numbers))
            return sorted(numbers)[place - 1] if numbers else Decimal(0)


def area_under(ordered: Sequence[UsageEvent], *, adds: bool) -> Fraction:
    """Keep the level, and what it has come to so far, from event to event."""
    level = area = Fraction(0)
    since = 0
    for event in ordered:
        value = as_number(event)
        assert value is not None
        area += level * (event.moment.time - since)
        since = event.moment.time
        level = level + Fraction(value) if adds else Fraction(value)
    return (area + level * (SPAN.end - since)) / SPAN.whole


def rounded(exact: Decimal | Fraction) -> Decimal:
    """Round at the 30th place, half away from zero."""
    scaled = Fraction(exact) * 10**30
    whole = floor(abs(scaled) + Fraction(1, 2))
    return Decimal(whole if scaled >= 0 else -whole).scaleb(-30, context=EXACT)


def having_value(log: Sequence[UsageEvent], meter: Meter) -> list[UsageEvent]:
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        return [event for event in log if event.properties["v"] != ""]
    return [event for event in log if as_number(event) is not None]


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
