"""Usage: what cells come to, by tables that can be checked in the head."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from services.rating.domain.carrying import BEFORE, carried
from services.rating.domain.cell import Cell, Level, Presence
from services.rating.domain.event import Moment
from services.rating.domain.meter import Aggregation, DayBucket, Meter, ValueInput
from services.rating.domain.rounding import Rounding, RoundingMode
from services.rating.domain.usage import Span, nearest_rank, units, whole_usage

D = Decimal
SPAN = Span(end=1_100, whole=100)
SECOND = date(2024, 1, 2)


def a_meter(aggregation: Aggregation, **options: Any) -> Meter:
    return Meter(
        meter_id=UUID(int=1),
        code="m",
        name="m",
        event_type="m",
        aggregation=aggregation,
        value_property="v",
        dimensions=(),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        **options,
    )


def at(time: int, place: int = 0) -> Moment:
    return Moment(time, 0, 1, place)


def level(time: int, value: str) -> Level:
    return Level(at(time), D(value))


@pytest.mark.parametrize(("percentile", "expected"), [(50, "5"), (90, "9"), (95, "10"), (99, "10")])
def test_a_percentile_is_the_value_of_the_nearest_rank(percentile: int, expected: str) -> None:
    assert nearest_rank({D(n): 1 for n in range(10, 0, -1)}, percentile) == D(expected)
    assert nearest_rank({D(n): 7 for n in range(1, 11)}, percentile) == D(expected)


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert nearest_rank({D("2.5"): 1}, 50) == D("2.5")
    assert nearest_rank({D(1): 1, D(2): 1}, 50) == 1
    assert nearest_rank({D(1): 99, D(2): 1}, 99) == 1
    assert nearest_rank({D(1): 98, D(2): 1}, 99) == 2
    assert nearest_rank({}, 99) == 0


@pytest.mark.parametrize(
    ("total", "count", "rounding", "expected"),
    [
        ("10", 4, None, "2.5"),
        ("1", 3, None, "0.333333333333333333333333333333"),
        ("-2", 3, None, "-0.666666666666666666666666666667"),
        # Just above 1 and just below a half: rounded once, of the exact value.
        (f"3.{'0' * 29}1", 3, Rounding(RoundingMode.CEIL), "2"),
        (f"1.4{'9' * 29}", 3, Rounding(RoundingMode.ROUND), "0"),
        ("-7", 2, Rounding(RoundingMode.ROUND), "-4"),
        ("-7", 2, Rounding(RoundingMode.FLOOR), "-4"),
        ("1000", 3, Rounding(RoundingMode.ROUND, -2), "300"),
    ],
)
def test_an_average_is_rounded_once(
    total: str, count: int, rounding: Rounding | None, expected: str
) -> None:
    usage = Cell(event_count=count, total=D(total))
    assert units(usage, a_meter(Aggregation.AVG, rounding=rounding)) == D(expected)


def test_a_level_is_weighed_from_each_change_to_the_next() -> None:
    meter = a_meter(Aggregation.WEIGHTED_SUM, value_input=ValueInput.LEVEL)
    levels = {each.moment.time: each for each in (level(1_050, "2"), level(1_000, "8"))}
    # 8 for 50 and 2 for 50, of 100.
    assert units(Cell(event_count=2, levels=levels), meter, span=SPAN) == 5
    assert units(Cell(), meter, span=SPAN) == 0


def test_a_level_that_rises_is_weighed_to_the_end() -> None:
    meter = a_meter(Aggregation.WEIGHTED_SUM, value_input=ValueInput.DELTA)
    # 10 from 1,000 on, 2 less from 1,075 on.
    usage = Cell(event_count=2, total=D(8), weighted=D(10 * 1_000 - 2 * 1_075))
    assert units(usage, meter, span=SPAN) == D("9.5")


def test_days_are_aggregated_each_for_itself_and_rounded_together() -> None:
    first = [Cell(total=D("1.5"), day=date(2024, 1, 1)), Cell(total=D(2), day=date(2024, 1, 1))]
    cells = [*first, Cell(total=D("3.25"), day=SECOND)]
    meters = {
        bucket: a_meter(Aggregation.SUM, day_bucket=bucket, rounding=Rounding(RoundingMode.FLOOR))
        for bucket in DayBucket
    }
    found = {bucket: units(whole_usage(cells, meter), meter) for bucket, meter in meters.items()}
    assert found == {DayBucket.SUM: 6, DayBucket.MAX: 3}
    assert units(whole_usage([], meters[DayBucket.MAX]), meters[DayBucket.MAX]) == 0


def test_what_is_carried_is_the_last_of_each_combination() -> None:
    meter = a_meter(Aggregation.UNIQUE_COUNT, recurring=True)
    there, gone = Presence(at(5), True), Presence(at(6), False)
    cells = [
        Cell(dimensions=("eu",), event_count=1, values={b"a": there}),
        Cell(dimensions=("eu",), event_count=1, values={b"a": gone, b"b": there}),
        Cell(dimensions=("us",), event_count=1, values={b"a": gone}),
    ]
    [left] = carried(cells, meter, 1_000)
    assert left == Cell(dimensions=("eu",), values={b"b": there}, day=BEFORE)


def test_an_event_at_the_start_sets_the_level_that_was_carried_to_it() -> None:
    meter = a_meter(Aggregation.WEIGHTED_SUM, value_input=ValueInput.LEVEL, recurring=True)
    [left] = carried([Cell(levels={900: level(900, "7")})], meter, 1_000)
    assert units(left, meter, span=SPAN) == 7
    assert (
        units(whole_usage([Cell(levels={1_000: level(1_000, "3")}), left], meter), meter, span=SPAN)
        == 3
    )
