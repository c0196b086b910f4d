"""Carrying: what recurring meters bring along from earlier periods, as of the start of one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from libs.money import EXACT
from services.rating.domain.cell import ZERO, Cell, Level, merged
from services.rating.domain.event import Moment
from services.rating.domain.meter import Aggregation, Meter, ValueInput

BEFORE = date.min  # In place of a day: all those before a period.
NEVER = Moment(-1, -1, -1, -1)


def carried(cells: Iterable[Cell], meter: Meter, start: int) -> list[Cell]:
    """Return what the `cells` of all earlier time leave at `start`, by dimension values.

    It is usage as any other: a level of 10 that was left is one to which it rises at the start. A
    sum goes on, and so its events still count; a level, or a value that is still there, counts as
    no event of the period, and where nothing is left there is no cell. The events' own amounts
    stay where they were. A value that is there has been added at the first moment of its stay; its
    day is BEFORE. `start` is in microseconds since 1970 in UTC.
    """
    by_dimensions: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        by_dimensions.setdefault(cell.dimensions, []).append(cell)
    found = []
    for dimensions, alike in by_dimensions.items():
        left = _left(merged(alike), meter, start)
        if left is not None:
            left.dimensions, left.day = dimensions, BEFORE
            found.append(left)
    return found


def in_stays(cells: Iterable[Cell]) -> list[Cell]:
    """Return a cell for each of the dimension values that `cells` have, day by day.

    A value that is still there has been added where its stay began.
    """
    found: dict[tuple[str, ...], Cell] = {}
    for cell in sorted(cells, key=lambda each: each.day or BEFORE):
        whole = found.setdefault(cell.dimensions, Cell(cell.dimensions))
        for key, presence in cell.values.items():
            known = whole.values.get(key)
            if known is not None and known.present:
                presence = presence._replace(added=known.added)
            whole.values[key] = presence
    return list(found.values())


def carried_level(value: Decimal, meter: Meter, start: int, *, last: Moment = NEVER) -> Cell | None:
    """Return a level as of `start`, None if it is 0; `last` is when it was set.

    Of levels of several combinations that are priced as one, the one that was set last stands.
    """
    if not value:
        return None
    if meter.value_input is ValueInput.LEVEL:
        before_any_event = Moment(start, -1, last.time, last.number)
        return Cell(levels={start: Level(before_any_event, value)})
    return Cell(total=value, weighted=EXACT.multiply(value, Decimal(start)))


def _left(whole: Cell, meter: Meter, start: int) -> Cell | None:
    match meter.aggregation:
        case Aggregation.SUM:
            return Cell(event_count=whole.event_count, total=whole.total)
        case Aggregation.UNIQUE_COUNT:
            present = {key: each for key, each in whole.values.items() if each.present}
            return Cell(values=present) if present else None
        case Aggregation.WEIGHTED_SUM if meter.value_input is ValueInput.LEVEL:
            levels = whole.levels or {}
            if not levels:
                return None
            level = levels[max(levels)]
            return carried_level(level.value, meter, start, last=level.moment)
        case Aggregation.WEIGHTED_SUM:
            return carried_level(whole.total or ZERO, meter, start)
        case _:
            raise AssertionError(f"{meter.aggregation} does not recur")
