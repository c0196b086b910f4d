"""Reading single events of the log, for prices that look at them.

Positions of the log, attribution and usage are read as of one instant, and then the log, while no
lock is held. Under the locks of a close the usage must still be the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.partition import partition_of
from libs.tenant import Tenant
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.cell import Cell
from services.rating.domain.event import micros
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.single_events import EventsNotRead, SingleEvent, single_events
from services.rating.operations.log import Log, count_partitions, is_applied, newest_applied
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
    """Meters whose single events a period's prices look at, and how far their usage has come.

    `mark` has the number of events and the newest slice by the meter's code.
    """

    meters: tuple[Meter, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Asked:
    """A period whose events are to be read, up to the slices `applied`."""

    tenant: Tenant
    period: BillingPeriod
    counted: Counted
    terms: Sequence[Term]  # Of its customer.
    applied: Mapping[Lane, int]


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The events of a period by meter code, as of the `mark`."""

    mark: Mark
    events: Mapping[str, Sequence[SingleEvent]]

    def before(self, end: datetime) -> ReadEvents:
        """Return those of them that are dated before `end`."""
        last = micros(end)
        return ReadEvents(
            self.mark,
            {
                code: [event for event in events if event.moment.time < last]
                for code, events in self.events.items()
            },
        )


def counted_of(
    meters: Mapping[str, Meter], codes: Iterable[str], cells: Mapping[UUID, Sequence[Cell]]
) -> Counted | None:
    """Return what of the `cells`, by meter, of a period was counted for the meters of `codes`.

    None if that is nothing.
    """
    used = [meters[code] for code in sorted(codes) if cells.get(meters[code].meter_id)]
    if not used:
        return None
    return Counted(tuple(used), tuple(_mark(one.code, cells[one.meter_id]) for one in used))


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
    window = period.fee_days.instants(ZoneInfo(period.time_zone))
    types = {meter.event_type for meter in meters}
    catalog = Catalog(0, {}, {period.customer_id: asked.terms})
    found: dict[str, list[SingleEvent]] = {meter.code: [] for meter in meters}
    pages = log.events(
        tenant,
        period.customer_id,
        start=window.start,
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
    return ReadEvents(asked.counted.mark, found)


def _mark(code: str, cells: Sequence[Cell]) -> tuple[str, int, int]:
    return (
        code,
        sum(cell.event_count for cell in cells),
        max(cell.slice_number for cell in cells),
    )
