"""What corrections of events do to usage: it is emptied from the first change on, in the fold that
meets them, and a job computes it again from the log as it is corrected up to that fold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.columns import Slice
from services.rating.domain.event import instant_of
from services.rating.domain.folding import Ambiguous, Folded, Unattributed
from services.rating.store import reattributions as store
from services.rating.store.applied import load_applied
from services.rating.store.catalog import load_terms

Customer = tuple[int, str]  # By tenant and id.


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Usage of a customer that is computed again: that of terms from their `first_days` on."""

    tenant: Tenant
    customer_id: str
    from_at: datetime
    first_days: Mapping[UUID, date]
    period_days: Sequence[tuple[int, UUID, date]]  # One in each of its billing periods.

    @property
    def counts_from(self) -> date:
        """The first day, in UTC, of events that are counted again by customer and type."""
        return self.from_at.astimezone(UTC).date()

    def counts_again(self, which: Unattributed | Ambiguous) -> bool:
        """Tell whether events of a count are counted again."""
        own = (which.tenant, which.customer_id) == (self.tenant, self.customer_id)
        return own and which.day >= self.counts_from


def earliest_changes(slices: Iterable[Slice]) -> dict[Customer, int]:
    """Return the customers whose events are corrected, each with the earliest time of a change."""
    found: dict[Customer, int] = {}
    for correction in (each for piece in slices for each in piece.corrections):
        for customer_id, time in correction.affected():
            customer = (correction.tenant, customer_id)
            found[customer] = min(time, found.get(customer, time))
    return found


async def find_forgotten(conn: AsyncConnection, changes: Mapping[Customer, int]) -> list[Forgotten]:
    """Return what `changes` make stale. The catalogs of their tenants are held alone."""
    if not changes:
        return []
    terms = await load_terms(conn, changes)
    found = []
    for owner, customer_id in sorted(changes):
        tenant, from_at = Tenant(owner), instant_of(changes[owner, customer_id])
        pending = await store.find_job(conn, tenant, customer_id)
        if pending is not None:  # Its cells are empty still: start over from the earlier day.
            from_at = min(from_at, pending.from_at)
        first_days = store.first_days_of(terms[owner, customer_id], from_at)
        days = await store.find_usage_days(conn, tenant, first_days)
        found.append(Forgotten(tenant, customer_id, from_at, first_days, days))
    return found


def drop_forgotten(folded: Folded, forgotten: Collection[Forgotten]) -> None:
    """Take out of `folded` what a job will count."""
    for one in forgotten:
        first_days = one.first_days
        for key in [
            key
            for key in folded.cells
            if key.term_id in first_days and key.day >= first_days[key.term_id]
        ]:
            del folded.cells[key]
    folded.drop_counts(lambda which: any(one.counts_again(which) for one in forgotten))


async def empty_forgotten(conn: AsyncConnection, forgotten: Iterable[Forgotten]) -> None:
    """Empty what is stored of it. The billing periods are locked."""
    for one in forgotten:
        await store.empty_cells(
            conn,
            one.tenant,
            one.customer_id,
            one.first_days,
            counts_from=one.counts_from,
        )


async def save_jobs(conn: AsyncConnection, forgotten: Sequence[Forgotten]) -> None:
    """Have it computed again from all slices up to the positions as they are now."""
    if not forgotten:
        return
    applied = await load_applied(conn)
    for one in forgotten:
        await store.save_job(
            conn, one.tenant, one.customer_id, from_at=one.from_at, applied=applied
        )
