"""Whether the cells are what folding the log again gives."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import astuple, dataclass, field, replace
from uuid import UUID

from libs.db import Snapshots
from libs.difference import Difference, Finding, Names, Unverified, compared
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.cell import Cell, CellKey, part_count
from services.rating.domain.columns import Slice
from services.rating.domain.corrected import Corrected
from services.rating.domain.folding import Ambiguous, Folded, Unattributed, fold
from services.rating.domain.high_cardinality import CELLS_PER_DAY_MAX, condense
from services.rating.domain.meter import Meter
from services.rating.domain.verification import Share, cell_differences
from services.rating.operations.log import LogBroken, LogPages, LogUnreadable, pages_of
from services.rating.store import verification as store
from services.rating.store.ambiguous import load_ambiguous
from services.rating.store.applied import Lane, load_applied
from services.rating.store.catalog import load_meters_by_type

ROWS_MAX = 50_000  # Of cells and distinct values in memory, once as stored and once folded again.
UNLIMITED = 2**62
COUNTED_BY = ("customer_id", "event_type", "day", "subscription_id")  # The last if ambiguous.


@dataclass(frozen=True, slots=True)
class View:
    """What is stored of a share's usage at one instant, and the catalog of that instant."""

    applied: Mapping[Lane, int]
    catalogs: Mapping[int, Catalog]
    names: Mapping[tuple[UUID, UUID], Names]  # Of the terms and meters that are compared.
    customers: Wanted
    cells: Mapping[CellKey, Cell]
    unattributed: Mapping[Unattributed, int]
    ambiguous: Mapping[Ambiguous, int]
    jobs: Sequence[tuple[int, str]]
    cells_per_day_max: int = CELLS_PER_DAY_MAX

    def keep(self, folded: Folded) -> int:
        """Drop what is of other shares from `folded`; return how many rows are left."""
        for key in [key for key in folded.cells if (key.term_id, key.meter_id) not in self.names]:
            del folded.cells[key]
        customers = self.customers
        folded.drop_counts(lambda which: not customers.include(which.tenant, which.customer_id))
        condense(folded.cells, self.cells_per_day_max)
        parts = sum(map(part_count, folded.cells.values()))
        return len(folded.cells) + len(folded.unattributed) + len(folded.ambiguous) + parts


@dataclass(frozen=True, slots=True)
class Wanted:
    """Customers of a share, and of `tenant` unless that is None, but for those with a job."""

    share: Share
    tenant: int | None
    jobs: frozenset[tuple[int, str]]

    def include(self, tenant: int, customer_id: str) -> bool:
        """Tell whether the customer is one of them."""
        return self.share_has(tenant, customer_id) and (tenant, customer_id) not in self.jobs

    def share_has(self, tenant: int, customer_id: str) -> bool:
        """Tell whether the customer would be, but for a job."""
        return self.tenant in (None, tenant) and self.share.holds(tenant, customer_id)


@dataclass(slots=True)
class Again:
    """What the log gives: usage, how many events it was, and what is wrong with the log."""

    folded: Folded = field(default_factory=Folded)
    event_count: int = 0
    faults: list[Finding] = field(default_factory=list)


async def verify_cells(
    snapshots: Snapshots,
    log: LogPages,
    counts: Counter[str],
    *,
    cells_per_day_max: int = CELLS_PER_DAY_MAX,
) -> AsyncGenerator[Finding, None]:
    """Give every cell that is not what the log gives, and every such count of events.

    Cells are compared that a plan charges: others begin when their meter was made. Of each
    partition the cells, the catalog and the applied positions are read at one instant; then the
    log is folded up to just these positions, so that usage may go on meanwhile. Customers whose
    usage is being attributed again are left out.

    It costs a pass over the whole log, also for one tenant, as segments hold many; and memory for
    50,000 rows of cells and values twice. A partition with more is halved by customer, and its
    log read once more for each half, until a share fits. One customer is never divided.

    Raises:
        Unavailable: the log or the database is away.
    """
    counts.update({"events": 0, "cells": 0})
    heads = await log.heads()
    partitions = max((len(head.slice_numbers) for head in heads), default=0)
    shards = [head.shard for head in heads]
    for partition in range(partitions):
        shares = [Share(partition, partitions)]
        while shares:
            share = shares.pop()
            halves = share.halves()
            rows_max = UNLIMITED if halves is None else ROWS_MAX
            view = await _load_view(snapshots, share, rows_max)
            view = view and replace(view, cells_per_day_max=cells_per_day_max)
            again = await _fold_again(log, shards, share, view, rows_max) if view else None
            if view is None or again is None:
                shares += halves or ()
                continue
            if share.first == 0:  # The partition's other shares have seen the same events.
                counts["events"] += again.event_count
            counts["cells"] += len(view.cells)
            for finding in await asyncio.to_thread(list, _compare(view, again)):
                yield finding
    async with snapshots.begin() as conn:
        lost = await store.find_lost_cells(conn)
    for key in lost:
        named = {"term_id": str(key.term_id), "meter_id": str(key.meter_id), "day": str(key.day)}
        yield Difference(key.tenant, "cell", named, "term", "unknown", "")


async def _load_view(snapshots: Snapshots, share: Share, rows_max: int) -> View | None:
    """Return what is stored of `share`; None if it is more than `rows_max` rows."""
    async with snapshots.begin() as conn:
        applied = await load_applied(conn)
        jobs = await store.load_jobs(conn)
        wanted = Wanted(share, snapshots.tenant, frozenset(jobs))
        terms = await store.load_terms(conn, wanted.include)
        tenants = await store.load_tenants_with_meters(conn)
        meters = await load_meters_by_type(conn, tenants)
        owners = [(one.tenant, one.term.term_id) for one in terms]
        cells = await store.load_cells_of(conn, owners, rows_max=rows_max)
        if cells is None:
            return None
        unattributed = await store.load_unattributed(conn, wanted.include)
        ambiguous = await load_ambiguous(conn, wanted.include)
    if len(cells) + len(unattributed) + len(ambiguous) > rows_max:
        return None
    names = _names(terms, meters)
    return View(
        applied=applied,
        catalogs=_catalogs(terms, meters),
        names=names,
        customers=wanted,
        cells={key: cell for key, cell in cells.items() if (key.term_id, key.meter_id) in names},
        unattributed=unattributed,
        ambiguous=ambiguous,
        jobs=[job for job in sorted(jobs) if wanted.share_has(*job)],
    )


def _catalogs(
    terms: Sequence[store.OwnedTerm], meters: Mapping[int, Mapping[str, Sequence[Meter]]]
) -> Mapping[int, Catalog]:
    """Return catalogs of all tenants, in which only the customers of `terms` have any."""
    of_customers: dict[int, dict[str, list[Term]]] = {}
    for one in terms:
        of_tenant = of_customers.setdefault(one.tenant, {})
        of_tenant.setdefault(one.customer_id, []).append(one.term)
    catalogs = defaultdict(lambda: Catalog(0, {}, {}))
    for tenant in meters.keys() | of_customers.keys():
        catalogs[tenant] = Catalog(0, meters.get(tenant, {}), of_customers.get(tenant, {}))
    return catalogs


def _names(
    terms: Sequence[store.OwnedTerm], meters: Mapping[int, Mapping[str, Sequence[Meter]]]
) -> dict[tuple[UUID, UUID], Names]:
    """Return the terms with the meters that their plans charge, by ids, with their names."""
    charged = [
        (one, meter)
        for one in terms
        for of_type in meters.get(one.tenant, {}).values()
        for meter in of_type
        if meter.code in one.meter_codes
    ]
    return {
        (one.term.term_id, meter.meter_id): {
            "subscription_id": one.term.subscription_id,
            "meter_code": meter.code,
        }
        for one, meter in charged
    }


async def _fold_again(
    log: LogPages, shards: Sequence[int], share: Share, view: View, rows_max: int
) -> Again | None:
    """Fold the log up to the applied positions; None if it gives more than `rows_max` rows."""
    again = Again()
    for shard in shards:
        lane = Lane(shard, share.partition)
        if not view.applied.get(lane):
            continue
        try:
            fits = await _fold_lane(log, lane, view, again, rows_max)
        except LogBroken as broken:
            again.faults.append(_lane_fault(lane, broken.position, broken.said))
            continue
        if not fits:
            return None
    return again


async def _fold_lane(log: LogPages, lane: Lane, view: View, again: Again, rows_max: int) -> bool:
    """Fold one lane, with its corrections; False if it gives more than `rows_max` rows."""
    try:
        found = await log.corrections(lane, through=view.applied[lane])
    except LogUnreadable as error:
        raise LogBroken(0, str(error)) from error
    corrected, met = Corrected(found), 0
    async with aclosing(pages_of(log, lane, view.applied[lane])) as pages:
        async for page in pages:
            met += sum(len(piece.corrections) for piece in page)
            again.event_count += sum(_count(piece, view.customers.tenant) for piece in page)
            standing = [corrected.standing(piece) for piece in page]
            await asyncio.to_thread(fold, standing, view.catalogs, into=again.folded)
            if view.keep(again.folded) > rows_max:
                return False
    if met != corrected.count:
        raise LogBroken(0, f"{met} corrections where {corrected.count} are known")
    slices = corrected.slices(lane.partition)
    await asyncio.to_thread(fold, slices, view.catalogs, into=again.folded)
    return view.keep(again.folded) <= rows_max


def _count(piece: Slice, tenant: int | None) -> int:
    tenants = piece.columns.tenants
    return len(tenants) if tenant is None else int((tenants == tenant).sum())


def _lane_fault(lane: Lane, position: int, said: str) -> Difference:
    named = {name: str(value) for name, value in lane._asdict().items()}
    return Difference(0, "log", named, f"slice after {position}", said, "")


def _compare(view: View, again: Again) -> Iterator[Finding]:
    yield from again.faults
    for tenant, customer_id in view.jobs:
        named = {"customer_id": customer_id}
        yield Unverified(tenant, "customer", named, "its usage is being attributed again")
    folded = again.folded
    for key in sorted(view.cells.keys() | folded.cells.keys()):
        stored, fresh = view.cells.get(key), folded.cells.get(key)
        known = stored or fresh
        assert known is not None
        named = {**view.names[key.term_id, key.meter_id], "day": str(key.day)}
        if known.dimensions:
            named["dimensions"] = ", ".join(known.dimensions)
        yield from cell_differences(key, named, stored, fresh)
    yield from _compare_counts("unattributed events", view.unattributed, folded.unattributed)
    yield from _compare_counts("ambiguous events", view.ambiguous, folded.ambiguous)


def _compare_counts(
    what: str,
    stored: Mapping[Unattributed, int] | Mapping[Ambiguous, int],
    fresh: Mapping[Unattributed, int] | Mapping[Ambiguous, int],
) -> Iterator[Difference]:
    before, after = (
        {astuple(key): count for key, count in each.items()} for each in (stored, fresh)
    )
    for key in sorted(before.keys() | after.keys()):
        tenant, *named = key
        names = dict(zip(COUNTED_BY, map(str, named), strict=False))
        yield from compared(tenant, what, names, event_count=(before.get(key), after.get(key)))
