"""Prorated usage of folded cells is that of the events one by one, however they were folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.period import DayPeriod, local_day
from services.rating.domain.attribution import Catalog
from services.rating.domain.cell import Cell, Operation
from services.rating.domain.counting import is_added
from services.rating.domain.event import PropertyValue, UsageEvent, instant_of
from services.rating.domain.folding import fold
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.prorated_sum import prorated_sum, sum_entries
from services.rating.domain.prorated_unique import (
    DayOperation,
    day_operations,
    prorated_unique_count,
    unique_entries,
)
from services.rating.domain.prorated_usage import prorated_entries, prorated_units
from services.rating.domain.proration import BilledDays
from services.rating.domain.reading import number_of, text_for
from services.rating.domain.single_events import single_events
from services.rating.domain.usage import Billed
from services.rating.operations.previewing import ALL_TIME
from tests.property.rating.test_folding import TERM, ZONE, a_meter, logs, piece_of

SUM = a_meter(1, Aggregation.SUM, recurring=True)
UNIQUE = a_meter(2, Aggregation.UNIQUE_COUNT, recurring=True)
CATALOG = Catalog(1, {"used": [SUM, UNIQUE]}, {"acme": [TERM]})
FIRST = date(2024, 3, 30)
FEW: st.SearchStrategy[PropertyValue] = st.sampled_from(["1", "2.5", "x", ""])


def billed_from(first: date) -> Billed:
    days = DayPeriod(first, FIRST + timedelta(days=2))
    return Billed(BilledDays(days, held=days.days, of_days=3), ZONE)


def cells_of(batches: Sequence[Sequence[UsageEvent]], meter: Meter) -> list[Cell]:
    """Fold each batch alone: cells of one day may be several, as they are of several regions."""
    return [
        replace(cell, day=key.day)
        for batch in batches
        if batch
        for key, cell in fold([piece_of(each) for each in batch], {1: CATALOG}).cells.items()
        if key.meter_id == meter.meter_id
    ]


def in_order(log: Sequence[UsageEvent]) -> list[tuple[date, UsageEvent]]:
    ordered = sorted(log, key=lambda event: event.moment)
    return [(local_day(instant_of(event.moment.time), ZONE), event) for event in ordered]


def values(log: Sequence[UsageEvent]) -> list[tuple[date, Decimal]]:
    found = ((day, number_of(event, SUM)) for day, event in in_order(log))
    return [(day, value) for day, value in found if value is not None]


def histories(log: Sequence[UsageEvent]) -> list[list[DayOperation]]:
    of_value: dict[str, list[tuple[date, Operation]]] = {}
    for day, event in in_order(log):
        if text := text_for(event, UNIQUE):
            operation = Operation(event.moment, is_added(event))
            of_value.setdefault(text, []).append((day, operation))
    return [day_operations(operations) for operations in of_value.values()]


@settings(max_examples=40)  # Each folds a log several times.
@given(logs(FEW), st.data())
def test_cells_weigh_what_events_one_by_one_weigh(
    log: list[UsageEvent], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(log))
    cut = data.draw(st.integers(0, len(log)))
    batches = [shuffled[:cut], shuffled[cut:]]
    billed = billed_from(FIRST + timedelta(days=data.draw(st.integers(0, 2))))
    added = prorated_units(cells_of(batches, SUM), SUM, billed)
    assert added == prorated_sum(values(log), billed.days)
    counted = prorated_units(cells_of(batches, UNIQUE), UNIQUE, billed)
    assert counted == prorated_unique_count(histories(log), billed.days)


@settings(max_examples=40)  # Each folds a log several times.
@given(logs(FEW), st.data())
def test_entries_of_events_read_are_those_of_events_in_order(
    log: list[UsageEvent], data: st.DataObject
) -> None:
    shuffled, billed = data.draw(st.permutations(log)), billed_from(FIRST)
    read = single_events(shuffled, CATALOG, [SUM, UNIQUE], term_id=UUID(int=9), window=ALL_TIME)
    sums = prorated_entries(cells_of([log], SUM), SUM, billed, read[SUM.code])
    assert sums == sum_entries(values(log), billed.days)
    uniques = prorated_entries(cells_of([log], UNIQUE), UNIQUE, billed, read[UNIQUE.code])
    assert uniques == unique_entries(histories(log), billed.days)
