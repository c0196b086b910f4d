"""Which days are kept in the log, and which dimensions a price looks at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from services.rating.domain.cell import Cell, CellKey, dimensions_key
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.high_cardinality import IN_LOG_KEY, condense, keys_read
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.plan import Charge, FilterBucket, IntervalUnit, PlanVersion
from services.rating.domain.price import StandardPrice

TERM, METER, OTHER = (UUID(int=n) for n in (1, 2, 3))
FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)
CENT = StandardPrice(Decimal("0.01"))

Folded = tuple[CellKey, Cell]


def a_cell(user: str, *, day: date = FIRST, meter: UUID = METER, slice_number: int = 1) -> Folded:
    values = (user,) if user else ()
    key = CellKey(7, TERM, meter, day, dimensions_key(values))
    trace = f"trace {slice_number}"
    return key, Cell(values, 2, last_time=5, slice_number=slice_number, traceparent=trace)


def test_a_day_is_in_the_log_only_above_the_limit() -> None:
    cells = dict(a_cell(user) for user in ("a", "b", "c"))
    condense(cells, 3)
    assert len(cells) == 3
    cells |= dict([a_cell("d", slice_number=4), a_cell("a", day=SECOND)])
    condense(cells, 3)
    [stayed, kept] = sorted(cells.items(), key=lambda item: item[1].in_log)
    assert stayed == a_cell("a", day=SECOND)
    assert kept[0] == CellKey(7, TERM, METER, FIRST, IN_LOG_KEY)
    assert (kept[1].event_count, kept[1].slice_number, kept[1].traceparent) == (8, 4, "trace 4")


def test_a_day_in_the_log_takes_up_what_comes_later() -> None:
    cells = dict(a_cell(user) for user in "abcd")
    condense(cells, 3)
    cells |= dict([a_cell("e")])
    condense(cells, 3)
    assert [cell.event_count for cell in cells.values()] == [10]


def test_a_meter_without_dimensions_is_never_in_the_log() -> None:
    cells = dict(a_cell("", day=date(2024, 1, n), meter=OTHER) for n in range(1, 9))
    condense(cells, 3)
    assert len(cells) == 8 and not any(cell.in_log for cell in cells.values())


def test_a_price_looks_at_what_it_filters_and_groups_by() -> None:
    keys = ("region", "user", "tier")
    meter = Meter(
        meter_id=uuid4(),
        code="calls",
        name="Calls",
        event_type="calls",
        aggregation=Aggregation.COUNT,
        value_property="",
        dimensions=tuple(Dimension(key, ()) for key in keys),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
    eu = FilterBucket("eu", (DimensionFilter("region", frozenset({"eu"})),), CENT)
    assert keys_read(meter, [a_version(Charge("calls", "calls", "", CENT, (eu,)))]) == ("region",)
    grouped = Charge("calls", "calls", "", CENT, (eu,), group_by=("tier",))
    assert keys_read(meter, [a_version(grouped)]) == ("region", "tier")
    other = Charge("other", "other", "", CENT, (), group_by=("user",))
    assert keys_read(meter, [a_version(other)]) == ()
    # A value that one user still has and another gave back was carried over by the first.
    carrying = replace(meter, aggregation=Aggregation.UNIQUE_COUNT, recurring=True)
    assert keys_read(carrying, [a_version(other)]) == keys


def a_version(charge: Charge) -> PlanVersion:
    return PlanVersion(
        plan_version_id=uuid4(),
        version=1,
        interval_unit=IntervalUnit.MONTH,
        base_amount=None,
        base_timing=None,
        charges=(charge,),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
