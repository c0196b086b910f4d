"""Days with very many combinations of dimension values: kept in the log, and read from it.

Such a day of a term and meter is in log mode: in the place of its cells stands one that only counts
their events, and says when and by what they changed. What the day comes to is folded from its
events when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from libs.period import Period
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.carrying import carried, in_stays
from services.rating.domain.cell import Cell, CellKey, dimensions_key
from services.rating.domain.columns import Ints, Slice
from services.rating.domain.custom import CustomPrice
from services.rating.domain.days import local_days
from services.rating.domain.event import micros
from services.rating.domain.folding import Days, Folded, fold
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import PlanVersion
from services.rating.domain.single_events import codes_prorated
from services.rating.domain.usage_query import meter_by

CELLS_PER_DAY_MAX = 10_000  # Combinations of values of a term, meter and day; more are in the log.
IN_LOG_KEY = dimensions_key(())  # A meter with dimensions has no other cell of this key.
BEFORE, WITHIN = 1, 2  # Ordinals of what a period carries, and of itself.


def condense(cells: dict[CellKey, Cell], cells_max: int) -> None:
    """Turn days with more than `cells_max` combinations of values, and those in log mode, to it.

    Which days these are depends on what was folded, not on its order or portions.
    """
    turned = {key[:4] for key, cell in cells.items() if cell.in_log}
    if len(cells) > cells_max:
        counts = Counter(key[:4] for key, cell in cells.items() if cell.dimensions)
        turned |= {day for day, count in counts.items() if count > cells_max}
    if not turned:
        return
    for key in [key for key in cells if key[:4] in turned and not cells[key].in_log]:
        cell = cells.pop(key)
        kept = cells.setdefault(CellKey(*key[:4], IN_LOG_KEY), Cell(in_log=True))
        kept.event_count += cell.event_count
        kept.mark(cell.last_time, cell.slice_number, cell.traceparent)


def has_days_in_log(cells: Iterable[Cell]) -> bool:
    """Tell whether a meter's usage has to be read from the log."""
    return any(cell.in_log for cell in cells)


def keys_read(meter: Meter, versions: Iterable[PlanVersion]) -> tuple[str, ...]:
    """Return the dimensions of `meter` that decide what its usage costs in any of `versions`.

    All of them where it carries usage over: each combination of values carries its own.
    """
    if meter.recurring:
        return tuple(each.key for each in meter.dimensions)
    found: set[str] = set()
    for charge in (each for version in versions for each in version.charges):
        if charge.meter_code != meter.code:
            continue
        found |= {one.key for bucket in charge.buckets for one in bucket.filters}
        found |= {*charge.group_by}
        for price in charge.prices.values():
            found |= price.dimensions if isinstance(price, CustomPrice) else frozenset()
    return tuple(each.key for each in meter.dimensions if each.key in found)


@dataclass(frozen=True, slots=True)
class Logged:
    """A meter with days in log mode: which dimensions prices know of it, and whether days."""

    meter: Meter
    keys: tuple[str, ...]
    by_day: bool


def logged_of(meter: Meter, versions: Sequence[PlanVersion]) -> Logged:
    """Return what prices of `versions` have to know of a meter with days in log mode."""
    by_day = meter.day_bucket is not None or meter.code in codes_prorated(versions)
    return Logged(meter, keys_read(meter, versions), by_day)


@dataclass(slots=True)
class LoggedUsage:
    """The usage of a meter in a period, and what it carries, folded from the log.

    Memory holds a cell for each combination of the values that prices know; other dimensions are
    left out, and so are days unless each counts for itself.
    """

    logged: Logged
    period: BillingPeriod
    window: Period  # The instants of its days.
    terms: Sequence[Term]  # Of its customer.
    folded: Folded = field(default_factory=Folded)

    def add(self, tenant: int, slices: Sequence[Slice]) -> None:
        """Add what `slices` of the customer's events hold of it."""
        meters = {self.meter.event_type: [meter_by(self.meter, self.logged.keys)]}
        catalog = Catalog(0, meters, {self.period.customer_id: self.terms})
        fold(slices, {tenant: catalog}, into=self.folded, days=self._days())
        self.folded.unattributed.clear()
        self.folded.ambiguous.clear()

    def cells(self) -> list[Cell]:
        """Return its cells, as the store would have given them."""
        own, earlier = [], []
        earlier_terms = self._earlier_terms()
        for key, cell in self.folded.cells.items():
            found = self._as_stored(key, cell)
            if key.term_id == self.period.term_id and self._is_within(key):
                own.append(found)
            elif key.term_id in earlier_terms or key.term_id == self.period.term_id:
                earlier.append(found)
        if not self.meter.recurring:
            return own
        if self.logged.by_day and self.meter.aggregation is Aggregation.UNIQUE_COUNT:
            earlier = in_stays(earlier)
        return [*own, *carried(earlier, self.meter, micros(self.period.usage.start))]

    @property
    def meter(self) -> Meter:
        return self.logged.meter

    def _days(self) -> Days:
        if self.logged.by_day:
            return local_days
        start = micros(self.window.start)

        def parted(times: Ints, _: object) -> Ints:
            return np.where(times < start, BEFORE, WITHIN)

        return parted

    def _is_within(self, key: CellKey) -> bool:
        if self.logged.by_day:
            return key.day >= self.period.usage_days.first_day
        return key.day.toordinal() == WITHIN

    def _earlier_terms(self) -> set[UUID]:
        before = micros(self.period.usage.start)
        return {
            term.term_id
            for term in self.terms
            if term.subscription_id == self.period.subscription_id and term.start < before
        } - {self.period.term_id}

    def _as_stored(self, key: CellKey, cell: Cell) -> Cell:
        values = dict(zip(self.logged.keys, cell.dimensions, strict=True))
        dimensions = tuple(values.get(each.key, "") for each in self.meter.dimensions)
        day = key.day if self.logged.by_day else None
        return replace(cell, dimensions=dimensions, day=day, slice_number=0, traceparent="")
