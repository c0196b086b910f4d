"""Folding some of a customer's events again, for usage that no cell holds as it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.partition import partition_of
from libs.period import Period
from libs.tenant import Tenant
from services.rating.domain.attribution import Catalog
from services.rating.domain.days import local_days
from services.rating.domain.folding import Days, Folded, fold
from services.rating.domain.usage_query import ROWS_MAX, VALUES_MAX, check_count
from services.rating.operations.log import Log, applied_slices, count_partitions, newest_applied
from services.rating.store.applied import Lane, load_applied
from services.rating.store.catalog import load_meters_by_type, load_terms

EVENTS_MAX = 10_000_000
CELLS_MAX = 10 * ROWS_MAX


@dataclass(frozen=True, slots=True)
class Refolding:
    """How a customer's events were folded, as of one instant of the database.

    Events behind `applied` are left out: what the log gives and what the cells hold go together.
    """

    tenant: Tenant
    customer_id: str
    catalog: Catalog
    applied: Mapping[Lane, int]


async def load_refolding(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> Refolding:
    """Return what folding a customer's events again needs."""
    meters = await load_meters_by_type(conn, [tenant])
    terms = await load_terms(conn, [(tenant, customer_id)])
    catalog = Catalog(0, meters[tenant], {customer_id: terms[tenant, customer_id]})
    return Refolding(tenant, customer_id, catalog, await load_applied(conn))


async def fold_again(
    log: Log,
    refolding: Refolding,
    parts: Collection[Period],
    *,
    terms: Collection[UUID],
    event_type: str = "",
    days: Days = local_days,
) -> Folded:
    """Fold a customer's events in `parts`, all or those of one type; keep the cells of `terms`.

    Memory holds a page of events, and what they add up to.

    Raises:
        UsageQueryTooLarge: there are more than 10 million events, or too much to add up.
        Unavailable: a shard is away.
    """
    folded = Folded()
    if not parts:
        return folded
    tenant, customer_id = refolding.tenant, refolding.customer_id
    partitions = await count_partitions(log)
    partition = partition_of(tenant, customer_id, partitions)
    catalogs: dict[int, Catalog] = {tenant: refolding.catalog}
    count = 0
    for part in parts:
        pages = log.events(
            tenant,
            customer_id,
            start=part.start,
            end=part.end,
            event_type=event_type,
            corrected_through=newest_applied(refolding.applied, partition),
        )
        async with aclosing(pages):
            async for events in pages:
                count += len(events)
                check_count("events of the log", count, EVENTS_MAX)
                slices = applied_slices(events, refolding.applied, partition)
                await asyncio.to_thread(fold, slices, catalogs, into=folded, days=days)
                _keep(folded, terms)
    return folded


def _keep(folded: Folded, terms: Collection[UUID]) -> None:
    for key in [key for key in folded.cells if key.term_id not in terms]:
        del folded.cells[key]
    folded.unattributed.clear()
    folded.ambiguous.clear()
    check_count("combinations of values", len(folded.cells), CELLS_MAX)
    values = sum(len(cell.values) for cell in folded.cells.values())
    check_count("distinct values", values, VALUES_MAX)
