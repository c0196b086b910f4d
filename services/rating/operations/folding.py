"""Folding slices of the log into the cells: one transaction, fenced by the applied positions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from opentelemetry.context import Context
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import begin_worker
from libs.telemetry import context_from, links_from, tracer
from libs.tenant import Tenant
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.cell import CellKey
from services.rating.domain.columns import Slice, customers_in
from services.rating.domain.folding import Folded, fold
from services.rating.domain.high_cardinality import CELLS_PER_DAY_MAX
from services.rating.domain.period import BillingPeriod, PeriodStatus
from services.rating.operations.adding import add_cells
from services.rating.operations.correcting import (
    Forgotten,
    drop_forgotten,
    earliest_changes,
    empty_forgotten,
    find_forgotten,
    save_jobs,
)
from services.rating.store import catalog as catalog_store
from services.rating.store.ambiguous import count_ambiguous, mark_valueless
from services.rating.store.applied import Lane, move
from services.rating.store.beside import lock_committed
from services.rating.store.cells import count_unattributed
from services.rating.store.instant_slices import Unpriced, note_unpriced
from services.rating.store.periods import TermDay, lock_touched, raise_late_version
from services.rating.store.watched import Watched, note_changed
from tally.rating.v1 import events_pb2

ATTEMPTS_MAX = 20
CUSTOMERS_MAX = 50_000  # Whose terms are kept; beyond that all are forgotten and read again.

EVENTS = Counter("tally_rating_events_total", "Events folded.")
UNATTRIBUTED = Counter(
    "tally_rating_unattributed_events_total", "Events that no subscription's plan charges."
)
AMBIGUOUS = Counter(
    "tally_rating_ambiguous_events_total", "Events that several subscriptions could have taken."
)
WITHOUT_VALUE = Counter(
    "tally_rating_values_missing_total", "Times a meter found no value in an event of its type."
)

spans = tracer(__name__)


class Fenced(Exception):
    """Another process has moved a lane: what was folded here counts nothing."""


class CatalogChanged(Exception):
    """The catalogs of `tenants` are not those that the fold went by."""

    def __init__(self, tenants: set[int]) -> None:
        super().__init__(f"catalogs changed: {sorted(tenants)}")
        self.tenants = tenants


class Catalogs:
    """The catalogs of the tenants in recent slices, as they were when they were read.

    And how many cells a day of a term and meter may have.
    """

    def __init__(self, *, cells_per_day_max: int = CELLS_PER_DAY_MAX) -> None:
        self.cells_per_day_max = cells_per_day_max
        self._catalogs: dict[int, Catalog] = {}
        self._customers = 0
        self._instant: set[UUID] = set()  # Terms with charges whose events are priced singly.
        self._watched: dict[int, dict[UUID, str]] = {}  # Subscription ids by tenant and term.

    def view(self) -> Mapping[int, Catalog]:
        """Return what is known, by tenant."""
        return self._catalogs

    @property
    def has_instant(self) -> bool:
        """Whether anything known is of instant charges."""
        return bool(self._instant)

    def instant_tenants(self, cells: Iterable[CellKey]) -> set[int]:
        """Return the tenants of those of `cells` that may be of instant charges."""
        return (
            {key.tenant for key in cells if key.term_id in self._instant}
            if self._instant
            else set()
        )

    @property
    def has_watched(self) -> bool:
        """Whether anybody wants to know of changes of usage."""
        return bool(self._watched)

    def watched_in(self, cells: Iterable[CellKey]) -> set[Watched]:
        """Return the subscriptions that `cells` are of and that may be watched."""
        if not self._watched:
            return set()
        of_tenants = [key for key in cells if key.tenant in self._watched]
        return {
            (key.tenant, self._watched[key.tenant][key.term_id])
            for key in of_tenants
            if key.term_id in self._watched[key.tenant]
        }

    def drop(self, tenants: Iterable[int]) -> None:
        """Forget `tenants`: they are read again when they are needed."""
        for tenant in tenants:
            self._catalogs.pop(tenant, None)

    async def load(self, worker: AsyncEngine, slices: Sequence[Slice]) -> None:
        """Read what `slices` need and is not known."""
        if self._customers > CUSTOMERS_MAX:
            self._catalogs, self._customers, self._instant = {}, 0, set()
            self._watched = {}
        await self.load_customers(worker, customers_in(slices))

    async def load_customers(self, worker: AsyncEngine, customers: set[tuple[int, str]]) -> None:
        """Read what is not known of `customers`, named by tenant and customer id.

        The version is read before all else: what changes in between shows as a newer version when
        the fold is written.
        """
        fresh = sorted({tenant for tenant, _ in customers} - self._catalogs.keys())
        unknown = {
            (tenant, customer)
            for tenant, customer in customers
            if tenant in fresh or customer not in self._catalogs[tenant].terms
        }
        if not unknown:
            return
        async with begin_worker(worker) as conn:
            if fresh:
                await self._load_tenants(conn, fresh)
            terms = await catalog_store.load_terms(conn, unknown)
        found: dict[int, dict[str, list[Term]]] = {}
        for (tenant, customer), of_customer in terms.items():
            found.setdefault(tenant, {})[customer] = of_customer
            self._instant |= {term.term_id for term in of_customer if term.instant_types}
            ids = {term.term_id: term.subscription_id for term in of_customer if term.watched}
            if ids:
                self._watched.setdefault(tenant, {}).update(ids)
        for tenant, customers_terms in found.items():
            known = self._catalogs[tenant]
            self._catalogs[tenant] = replace(known, terms={**known.terms, **customers_terms})
        self._customers += len(terms)

    async def _load_tenants(self, conn: AsyncConnection, tenants: Sequence[int]) -> None:
        await catalog_store.open_catalogs(conn, tenants)
        versions = await catalog_store.load_versions(conn, tenants)
        meters = await catalog_store.load_meters_by_type(conn, tenants)
        for tenant in tenants:
            self._catalogs[tenant] = Catalog(versions[tenant], meters[tenant], {})


async def fold_slices(
    worker: AsyncEngine,
    catalogs: Catalogs,
    slices: Sequence[Slice],
    positions: Mapping[Lane, int],
) -> dict[Lane, int]:
    """Fold `slices`, lane by lane in order, onto `positions`; return the positions after them.

    Cells, positions and facts change together or not at all.

    Raises:
        Fenced: a lane does not stand where `positions` says.
        Unavailable: the database is away; nothing was changed, or all was: the next try tells.
    """
    with spans.start_as_current_span(
        "fold", context=_parent(slices), links=links_from(piece.traceparent for piece in slices)
    ) as span:
        span.set_attribute("slices", len(slices))
        for _ in range(ATTEMPTS_MAX):
            await catalogs.load(worker, slices)
            # In a thread, so that RPCs are answered meanwhile. It is pure, and only reads.
            folded = await asyncio.to_thread(fold, slices, catalogs.view())
            try:
                after = await _checkpoint(worker, catalogs, slices, folded, positions)
            except CatalogChanged as changed:
                catalogs.drop(changed.tenants)
                continue
            span.set_attribute("events", folded.event_count)
            _measure(folded)
            return after
    raise RuntimeError(f"the catalog changed during each of {ATTEMPTS_MAX} folds")


async def _checkpoint(
    worker: AsyncEngine,
    catalogs: Catalogs,
    slices: Sequence[Slice],
    folded: Folded,
    positions: Mapping[Lane, int],
) -> dict[Lane, int]:
    """Write a fold. Locks: catalogs, billing periods, cells, positions; each in key order.

    What corrections change is emptied, and left to a job.
    """
    changed = earliest_changes(slices)
    instant = unpriced_slices(slices, catalogs.instant_tenants(folded.cells))
    watched = catalogs.watched_in(folded.cells)
    async with begin_worker(worker) as conn:
        await _check_catalogs(conn, catalogs, slices, alone=bool(changed))
        forgotten = await find_forgotten(conn, changed)
        drop_forgotten(folded, forgotten)
        await _announce_touched(conn, folded.cells, forgotten, catalogs.view())
        await empty_forgotten(conn, forgotten)
        await add_cells(conn, folded.cells, cells_max=catalogs.cells_per_day_max)
        await count_unattributed(conn, folded.unattributed)
        await count_ambiguous(conn, folded.ambiguous)
        await mark_valueless(conn, folded.valueless)
        after = {Lane(piece.shard, piece.partition): piece.number for piece in slices}
        for lane, number in sorted(after.items()):
            if not await move(conn, lane, old=positions[lane], new=number):
                raise Fenced(f"lane {lane} does not stand at {positions[lane]}")
        await save_jobs(conn, forgotten)
        await note_unpriced(conn, instant)
        await note_changed(conn, watched)
    return after


async def _check_catalogs(
    conn: AsyncConnection, catalogs: Catalogs, slices: Sequence[Slice], *, alone: bool
) -> None:
    tenants = {tenant for piece in slices for tenant in piece.columns.tenants.tolist()}
    tenants |= {correction.tenant for piece in slices for correction in piece.corrections}
    held = await catalog_store.hold_versions(conn, tenants, alone=alone)
    known = catalogs.view()
    changed = {tenant for tenant in tenants if held.get(tenant) != known[tenant].version}
    if changed:
        raise CatalogChanged(changed)


async def _announce_touched(
    conn: AsyncConnection,
    cells: Collection[CellKey],
    forgotten: Iterable[Forgotten],
    catalogs: Mapping[int, Catalog],
) -> None:
    """Lock every billing period that gets or loses usage.

    Of those that get some, and were announced, it is told; of the others when they have it again.
    """
    recurring = {
        meter.meter_id
        for tenant in {key.tenant for key in cells}
        for of_type in catalogs[tenant].meters.values()
        for meter in of_type
        if meter.recurring
    }
    # In a thread, as the fold: there may be a hundred thousand cells.
    days, carried = await asyncio.to_thread(_days_of, cells, recurring)
    emptied = {day for each in forgotten for day in each.period_days}
    if not days | emptied:
        return
    locked = await lock_touched(conn, days | emptied, carried)
    if emptied and not carried:  # What is told twice, as what is carried may be, does no harm.
        locked = [(tenant, period) for tenant, period in locked if _gets(days, tenant, period)]
    await announce_late(conn, locked)


def _days_of(
    cells: Collection[CellKey], recurring: Collection[UUID]
) -> tuple[set[TermDay], set[TermDay]]:
    """Return the days of terms that `cells` are of, and those of `recurring` meters."""
    days = {(key.tenant, key.term_id, key.day) for key in cells}
    if not recurring:
        return days, set()
    return days, {(key.tenant, key.term_id, key.day) for key in cells if key.meter_id in recurring}


def _gets(days: Iterable[tuple[int, UUID, date]], tenant: Tenant, period: BillingPeriod) -> bool:
    return any(owner == tenant and period.holds(term_id, day) for owner, term_id, day in days)


async def announce_late(
    conn: AsyncConnection,
    periods: Iterable[tuple[Tenant, BillingPeriod]],
    *,
    commanded: bool = False,
) -> None:
    """Tell that the usage of locked `periods` changes, where they were announced already.

    Or, if `commanded`, that their subscription was changed. And so does what lacks of a minimum
    commitment, if another period has billed that.
    """
    late = [one for one in periods if one[1].status is not PeriodStatus.OPEN]
    committed = await lock_committed(conn, late) if late else []
    late += [one for one in committed if one[1].status is not PeriodStatus.OPEN]
    for tenant, period in late:
        late_version = await raise_late_version(conn, tenant, period.period_id)
        changed = events_pb2.PeriodUsageChanged(
            period_id=str(period.period_id),
            customer_id=period.customer_id,
            currency_code=period.currency,
            late_version=late_version,
            closed=period.status is PeriodStatus.CLOSED,
            commanded=commanded,
        )
        await outbox.append(conn, tenant, changed)


def unpriced_slices(slices: Iterable[Slice], tenants: Iterable[int]) -> list[Unpriced]:
    """Return the slices with events of `tenants`, which have instant charges."""
    found = []
    for tenant in sorted(tenants):
        for piece in slices:
            times = piece.columns.times[piece.columns.tenants == tenant]
            if len(times):
                lane, first = Lane(piece.shard, piece.partition), int(times.min())
                found.append(Unpriced(Tenant(tenant), lane, piece.number, first))
    return found


def _parent(slices: Sequence[Slice]) -> Context | None:
    """A fold of one slice is part of its trace; of several it is a trace of its own."""
    if len(slices) == 1 and slices[0].traceparent:
        return context_from({"traceparent": slices[0].traceparent})
    return Context()


def _measure(folded: Folded) -> None:
    EVENTS.inc(folded.event_count)
    UNATTRIBUTED.inc(sum(folded.unattributed.values()))
    AMBIGUOUS.inc(sum(folded.ambiguous.values()))
    WITHOUT_VALUE.inc(folded.without_value)
