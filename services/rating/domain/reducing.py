"""Reducing: the numbers of many events, or of one, to what their cells keep. All of it is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from libs.money import EXACT
from services.rating.domain.cell import Cell, Level, added
from services.rating.domain.columns import Ints, join_decimal
from services.rating.domain.event import Moment
from services.rating.domain.grouping import Groups, combine, group
from services.rating.domain.meter import Aggregation, Meter, ValueInput

Take = Callable[[Cell, Decimal], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """Numbers of events, one a row: `mantissas` * 10^`exponents`; `places` say of which cell."""

    places: Ints
    mantissas: Ints
    exponents: Ints
    times: Ints

    def value(self, row: int) -> Decimal:
        """Return the number of a row."""
        return join_decimal(int(self.mantissas[row]), int(self.exponents[row]))

    def alike(self) -> Groups:
        """Group rows of one cell and power of ten: only their mantissas compare and add up."""
        return group(combine([self.places, self.exponents - self.exponents.min()]))


def reduce(seen: Seen, cells: Sequence[Cell], meter: Meter) -> None:
    """Add up, or choose from, the numbers of each of `cells`."""
    alike = seen.alike()

    def fill(reduced: Iterable[int], take: Take) -> None:
        firsts = alike.firsts()
        columns = (seen.places[firsts].tolist(), reduced, seen.exponents[firsts].tolist())
        for place, mantissa, exponent in zip(*columns, strict=True):
            take(cells[place], join_decimal(mantissa, exponent))

    match meter.aggregation:
        case Aggregation.MAX:
            fill(alike.maxima(seen.mantissas).tolist(), _take_greatest)
        case Aggregation.MIN:
            fill(alike.minima(seen.mantissas).tolist(), _take_least)
        case Aggregation.WEIGHTED_SUM:
            fill(alike.sums(seen.mantissas), _take_total)
            fill(alike.products(seen.mantissas, seen.times), _take_weighted)
        case _:
            fill(alike.sums(seen.mantissas), _take_total)


def count_values(seen: Seen, cells: Sequence[Cell]) -> None:
    """Count how many events have each value, for each of `cells`."""
    mantissas = np.unique(seen.mantissas, return_inverse=True)[1]
    exponents = seen.exponents - seen.exponents.min()
    equal = group(combine([seen.places, exponents, mantissas]))
    for row, size in zip(equal.firsts().tolist(), equal.sizes().tolist(), strict=True):
        cells[int(seen.places[row])].add_counts({seen.value(row): size})


def take_one(cell: Cell, meter: Meter, value: Decimal, moment: Moment) -> None:
    """Add the number of one event to a cell that has none yet."""
    match meter.aggregation:
        case Aggregation.SUM | Aggregation.AVG:
            cell.total = value
        case Aggregation.MAX:
            cell.greatest = value
        case Aggregation.MIN:
            cell.least = value
        case Aggregation.LATEST:
            cell.latest, cell.latest_moment = value, moment
        case Aggregation.WEIGHTED_SUM if meter.value_input is ValueInput.LEVEL:
            cell.add_level(Level(moment, value))
        case Aggregation.WEIGHTED_SUM:
            cell.total = value
            cell.weighted = EXACT.multiply(value, Decimal(moment.time))
        case Aggregation.PERCENTILE:
            cell.add_counts({value: 1})
        case Aggregation.COUNT | Aggregation.UNIQUE_COUNT:
            raise AssertionError("they count no numbers")


def _take_total(cell: Cell, value: Decimal) -> None:
    cell.total = added(cell.total, value)


def _take_weighted(cell: Cell, value: Decimal) -> None:
    cell.weighted = added(cell.weighted, value)


def _take_greatest(cell: Cell, value: Decimal) -> None:
    cell.greatest = value if cell.greatest is None else max(cell.greatest, value)


def _take_least(cell: Cell, value: Decimal) -> None:
    cell.least = value if cell.least is None else min(cell.least, value)
