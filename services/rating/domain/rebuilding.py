"""Usage computed again from the log, to be put in the place of what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from libs.period import DayPeriod
from services.rating.domain.attribution import Catalog
from services.rating.domain.columns import EventColumns, Slice, without
from services.rating.domain.event import instant_of
from services.rating.domain.folding import Folded, fold
from services.rating.domain.windows import EARLIEST, LATEST

ZONES_APART = timedelta(days=1)  # A local day begins and ends within a day of the one in UTC.


@dataclass(slots=True)
class Shadow:
    """A customer's usage on `days`, folded beside what is stored."""

    tenant: int
    customer_id: str
    days: DayPeriod
    catalog: Catalog
    folded: Folded = field(default_factory=Folded)
    event_count: int = 0  # Of these days in UTC: of any stretches that part time, each event once.

    def add(self, slices: Iterable[Slice]) -> None:
        """Fold the customer's events in `slices` on these days; other customers' do not count."""
        own = [replace(each, columns=self._own(each)) for each in slices]
        catalogs: Mapping[int, Catalog] = {self.tenant: self.catalog}
        fold(own, catalogs, into=self.folded)
        self.event_count += sum(map(self._count, own))
        for key in [key for key in self.folded.cells if not self._holds(key.day)]:
            del self.folded.cells[key]
        self.folded.drop_counts(lambda which: not self._holds(which.day))

    def is_corrected_by(self, slices: Iterable[Slice]) -> bool:
        """Tell whether corrections in `slices` change the customer's usage."""
        corrections = (each for piece in slices for each in piece.corrections)
        return any(
            one.tenant == self.tenant and self.customer_id in dict(one.affected())
            for one in corrections
        )

    def _own(self, piece: Slice) -> EventColumns:
        columns = piece.columns
        own = np.array([text == self.customer_id for text in columns.strings], dtype=np.bool_)
        mine = (columns.tenants == self.tenant) & own[columns.customers]
        return columns if mine.all() else without(columns, columns.indexes[~mine].tolist())

    def _count(self, piece: Slice) -> int:
        days = (instant_of(at).date() for at in piece.columns.times.tolist())
        return sum(map(self._holds, days))

    def _holds(self, day: date) -> bool:
        return self.days.first_day <= day < self.days.end_day


def log_window(days: DayPeriod) -> tuple[datetime, datetime]:
    """Return instants between which all events of local `days` lie, in whatever zone."""
    first = datetime.combine(days.first_day, time.min, UTC)
    end = datetime.combine(days.end_day, time.min, UTC)
    return (
        first - ZONES_APART if first > EARLIEST else EARLIEST,
        end + ZONES_APART if end < LATEST else LATEST,
    )
