"""Drafting progressive invoices: usage is billed before its period ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import Period
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Group, Kind, group_of
from services.invoicing.domain.party import Entities, KnownCustomer
from services.invoicing.operations.drafting import announce_drafts
from services.invoicing.store import entities, invoices, parties
from services.invoicing.store import progressive as store


@dataclass(frozen=True, slots=True)
class Crossing:
    """Usage of a period crossed thresholds: the `sequence`-th time that this was told of it."""

    crossing_id: UUID
    sequence: int
    customer_id: str
    currency: str
    period_id: UUID
    period: Period
    time_zone: str  # Of the customer, if nothing else is known of it.
    crossed_at: datetime
    headers: Mapping[str, str]
    wanted: str = ""  # The billing entity that the subscription asks for.


async def draft_crossings(
    conn: AsyncConnection, tenant: Tenant, crossings: Sequence[Crossing], *, now: datetime
) -> None:
    """Draft an invoice for each, to be finalized at once. A repeat does nothing.

    What is told of a period that its own invoice bills already is in that.
    """
    zones = {one.customer_id: one.time_zone for one in reversed(crossings)}
    customers = await parties.open_customers(conn, tenant, zones, now=now)
    sellers = await entities.load_entities(conn, tenant)
    period_ids = {one.period_id for one in crossings}
    billed = await invoices.find_billed(conn, tenant, period_ids)
    known = await store.find_progressive(conn, tenant, period_ids)
    fresh = [
        one
        for one in crossings
        if one.period_id not in billed
        and store.progressive_purpose(one.sequence) not in known.get(one.period_id, {})
    ]
    drafts = [
        draft_of(one, customers[one.customer_id], sellers)
        for one in sorted(fresh, key=lambda one: (one.crossed_at, one.sequence))
    ]
    purposes = {one.crossing_id: store.progressive_purpose(one.sequence) for one in fresh}
    periods = {one.crossing_id: one.period_id for one in fresh}
    await invoices.create_drafts(conn, tenant, drafts, created_at=now)
    crossed = [(draft.invoice_id, draft.group.alone) for draft in drafts]
    await invoices.bill_periods(
        conn,
        tenant,
        [(one, periods[of], purposes[of]) for one, of in crossed if of is not None],
    )
    await announce_drafts(conn, tenant, [draft.invoice_id for draft in drafts])


def draft_of(crossing: Crossing, buyer: KnownCustomer, sellers: Entities) -> invoices.Draft:
    """Return the draft of a crossing, which has an invoice to itself."""
    at = crossing.crossed_at
    seller = sellers.selling_to(buyer.profile, crossing.wanted)
    zone = buyer.zone_name(seller)
    group = group_of(crossing.customer_id, crossing.currency, due_at=at, zone=zone)
    return invoices.Draft(
        invoice_id=uuid4(),
        group=Group(
            group.customer_id,
            group.currency,
            group.day,
            alone=crossing.crossing_id,
            kind=Kind.PROGRESSIVE,
            entity_code=seller.code,
        ),
        time_zone=zone,
        period=crossing.period,
        finalize_at=at,
        headers=crossing.headers,
    )
