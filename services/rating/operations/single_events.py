"""Reading events of the log: for prices that look at each, and for days that are kept there only.

Positions of the log, attribution and usage are read as of one instant, and then the log, while no
lock is held. Under the locks of a close the usage must still be the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.partition import partition_of
from libs.period import Period
from libs.tenant import Tenant
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.cell import Cell
from services.rating.domain.columns import Slice
from services.rating.domain.high_cardinality import (
    Logged,
    LoggedUsage,
    has_days_in_log,
    logged_of,
)
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import PlanVersion
from services.rating.domain.single_events import (
    EventsNotRead,
    SingleEvent,
    codes_read,
    single_events,
)
from services.rating.domain.windows import EARLIEST
from services.rating.operations.log import (
    Log,
    applied_slices,
    count_partitions,
    is_applied,
    newest_applied,
)
from services.rating.store.applied import Lane, load_applied
from services.rating.store.catalog import load_terms

Mark = tuple[tuple[str, int, int], ...]


class EventsOutdated(EventsNotRead):
    """The events of these periods were not read yet, or usage has come since."""

    def __init__(self, period_ids: Sequence[UUID]) -> None:
        super().__init__("the usage of a period changes while its events are read")
        self.period_ids = period_ids


@dataclass(frozen=True, slots=True)
class Counted:
    """What of a period's usage is read from the log, and how far that usage has come.

    `meters` are those whose single events prices look at. `logged` are those with days in log mode,
    each with the dimensions that prices know. `mark` has the number of events and the newest slice
    by the meter's code; where there are logged ones also the period's late_version, which rises
    with every change once the period was announced.
    """

    meters: tuple[Meter, ...]
    mark: Mark
    logged: tuple[Logged, ...] = ()

    @property
    def logged_codes(self) -> tuple[str, ...]:
        """The codes of meters with days in log mode."""
        return tuple(one.meter.code for one in self.logged)


@dataclass(frozen=True, slots=True)
class Asked:
    """A period whose events are to be read, up to the slices `applied`, and dated before `end`."""

    tenant: Tenant
    period: BillingPeriod
    counted: Counted
    terms: Sequence[Term]  # Of its customer.
    applied: Mapping[Lane, int]
    end: datetime | None = None  # None: that of the period's days.

    @property
    def window(self) -> Period:
        """The instants of the period's days, as far as they are asked for."""
        whole = self.period.usage
        return whole if self.end is None else Period(whole.start, min(whole.end, self.end))


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The events of a period by meter code, as of the `mark`, and what logged meters counted."""

    mark: Mark
    events: Mapping[str, Sequence[SingleEvent]]
    cells: Mapping[UUID, Sequence[Cell]] = field(default_factory=dict)  # By meter.

    def instead(self, stored: Mapping[UUID, Sequence[Cell]]) -> Mapping[UUID, Sequence[Cell]]:
        """Return `stored` cells of the period, by meter, with what was read in their place."""
        return {**stored, **self.cells}


def counted_of(
    meters: Mapping[str, Meter],
    versions: Sequence[PlanVersion],
    cells: Mapping[UUID, Sequence[Cell]],
    *,
    late_version: int = 0,
) -> Counted | None:
    """Return what of the `cells`, by meter, of a period has to be read to price it by `versions`.

    None if that is nothing.
    """
    read = frozenset[str]().union(*(codes_read(version, meters) for version in versions))
    charged = {charge.meter_code for version in versions for charge in version.charges}
    found = {code: cells.get(meters[code].meter_id, ()) for code in sorted(charged)}
    used = [meters[code] for code in found if code in read and found[code]]
    logged = [meters[code] for code in found if has_days_in_log(found[code])]
    if not used and not logged:
        return None
    marked = dict.fromkeys(one.code for one in (*used, *logged))
    mark = tuple(_mark(code, found[code]) for code in marked)
    return Counted(
        meters=tuple(used),
        mark=(*mark, ("", late_version, 0)) if logged else mark,
        logged=tuple(logged_of(one, versions) for one in logged),
    )


async def load_asked(
    conn: AsyncConnection, counted: Iterable[tuple[Tenant, BillingPeriod, Counted | None]]
) -> list[Asked]:
    """Return what reading the events of periods needs, but for those of which nothing is read.

    `conn` is a snapshot.
    """
    read = [(tenant, period, found) for tenant, period, found in counted if found is not None]
    if not read:
        return []
    terms = await load_terms(conn, {(tenant, period.customer_id) for tenant, period, _ in read})
    applied = await load_applied(conn)
    return [
        Asked(tenant, period, found, terms[tenant, period.customer_id], applied)
        for tenant, period, found in read
    ]


async def read_events(log: Log, asked: Sequence[Asked]) -> dict[UUID, ReadEvents]:
    """Read the events of periods, by their ids.

    Raises:
        Unavailable: a shard is away.
    """
    if not asked:
        return {}
    partitions = await count_partitions(log)
    return {one.period.period_id: await _read_period(log, one, partitions) for one in asked}


async def _read_period(log: Log, asked: Asked, partitions: int) -> ReadEvents:
    tenant, period, meters = asked.tenant, asked.period, asked.counted.meters
    partition = partition_of(tenant, period.customer_id, partitions)
    window = asked.window
    logged = [LoggedUsage(one, period, window, asked.terms) for one in asked.counted.logged]
    types = {meter.event_type for meter in (*meters, *(one.meter for one in logged))}
    catalog = Catalog(0, {}, {period.customer_id: asked.terms})
    found: dict[str, list[SingleEvent]] = {meter.code: [] for meter in meters}
    carries = any(one.meter.recurring for one in logged)
    pages = log.events(
        tenant,
        period.customer_id,
        start=EARLIEST if carries else window.start,
        end=window.end,
        event_type=types.pop() if len(types) == 1 else "",
        corrected_through=newest_applied(asked.applied, partition),
    )
    async with aclosing(pages):
        async for page in pages:
            counted = [event for event in page if is_applied(event, asked.applied, partition)]
            of_page = single_events(counted, catalog, meters, term_id=period.term_id, window=window)
            for code, events in of_page.items():
                found[code] += events
            if logged and counted:
                slices = applied_slices(counted, asked.applied, partition)
                await asyncio.to_thread(_add_all, logged, tenant, slices)
    cells = {one.meter.meter_id: one.cells() for one in logged}
    return ReadEvents(asked.counted.mark, found, cells)


def _add_all(logged: Iterable[LoggedUsage], tenant: Tenant, slices: Sequence[Slice]) -> None:
    for one in logged:
        one.add(tenant, slices)


def _mark(code: str, cells: Sequence[Cell]) -> tuple[str, int, int]:
    return (
        code,
        sum(cell.event_count for cell in cells),
        max(cell.slice_number for cell in cells),
    )
