"""Drafts: how billing periods become one, and how it keeps up with their usage."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import begin
from libs.period import Period
from libs.tenant import Tenant
from services.invoicing.domain.add_on import given
from services.invoicing.domain.adjusted_fee import adjust
from services.invoicing.domain.invoice import (
    Content,
    Group,
    Invoice,
    Kind,
    Status,
    compose,
    group_of,
    with_early,
)
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.domain.party import Entities, KnownCustomer
from services.invoicing.operations.composing import take_coupons, take_taxes
from services.invoicing.operations.early import show_early
from services.invoicing.operations.messages import invoice_message
from services.invoicing.operations.unbilled import tell_draft
from services.invoicing.store import (
    add_ons,
    adjusted_fees,
    entities,
    invoices,
    late,
    parties,
    parts,
)
from services.invoicing.store.late import LateUsage
from tally.invoicing.v1.events_pb2 import InvoiceDrafted


@dataclass(frozen=True, slots=True)
class DuePeriods:
    """Periods of one customer and currency that became due at once.

    Those of `alone` have an invoice each. `wanted` are the billing entities that subscriptions ask
    for, by period. `headers` hold the trace that announced them, which their invoices continue.
    """

    customer_id: str
    currency: str
    due_at: datetime
    time_zone: str  # Of the customer, if nothing else is known of it.
    periods: tuple[tuple[UUID, Period], ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    alone: frozenset[UUID] = frozenset()
    wanted: Mapping[UUID, str] = field(default_factory=dict)

    def parts(self, buyer: KnownCustomer, sellers: Entities) -> Iterator[tuple[Group, DuePeriods]]:
        """Give what goes on each invoice, with its group."""
        joined: dict[Group, list[tuple[UUID, Period]]] = {}
        for one in self.periods:
            seller = sellers.selling_to(buyer.profile, self.wanted.get(one[0], ""))
            zone = buyer.zone_name(seller)
            group = group_of(
                self.customer_id,
                self.currency,
                due_at=self.due_at,
                zone=zone,
                entity_code=seller.code,
            )
            if one[0] in self.alone:
                group = replace(group, alone=one[0], kind=Kind.INSTANT)
            joined.setdefault(group, []).append(one)
        for group, periods in joined.items():
            zone = buyer.zone_name(sellers.named(group.entity_code))
            yield group, replace(self, time_zone=zone, periods=tuple(periods))


@dataclass(frozen=True, slots=True)
class ChangedUsage:
    """A period whose usage changed after it became due, `closed` if its fees were frozen.

    `commanded`: not its usage, but the subscription was changed.
    """

    period_id: UUID
    customer_id: str
    currency: str
    late_version: int
    closed: bool
    commanded: bool = False


@dataclass(frozen=True, slots=True)
class DraftWork:
    """A draft and the periods that it bills, as of its revision."""

    invoice: Invoice
    period_ids: list[UUID]


async def draft_periods(
    conn: AsyncConnection, tenant: Tenant, dues: Sequence[DuePeriods], *, now: datetime
) -> None:
    """Put due periods on the drafts of their groups, new ones where there are none.

    A repeat does nothing.
    """
    zones = {due.customer_id: due.time_zone for due in reversed(dues)}  # The first one counts.
    customers = await parties.open_customers(conn, tenant, zones, now=now)
    sellers = await entities.load_entities(conn, tenant)
    asked = {period_id for due in dues for period_id, _ in due.periods}
    billed = await invoices.find_billed(conn, tenant, asked)
    joining: dict[Group, list[DuePeriods]] = {}
    for due in dues:
        fresh = tuple(one for one in due.periods if one[0] not in billed)
        billed |= {period_id for period_id, _ in fresh}
        if fresh:
            buyer = customers[due.customer_id]
            for of_part, part in replace(due, periods=fresh).parts(buyer, sellers):
                joining.setdefault(of_part, []).append(part)
    standing = await invoices.find_drafts(conn, tenant, joining.keys())
    drafts = [
        draft_of(
            group,
            parts_due,
            standing.get(group) or uuid4(),
            customers[group.customer_id].grace_days(sellers.named(group.entity_code)),
        )
        for group, parts_due in joining.items()
    ]
    created = [draft for draft in drafts if draft.group not in standing]
    await invoices.create_drafts(conn, tenant, created, created_at=now)
    await invoices.extend_drafts(conn, tenant, [one for one in drafts if one.group in standing])
    await invoices.bill_periods(
        conn,
        tenant,
        [
            (draft.invoice_id, period_id, invoices.CLOSE)
            for draft in drafts
            for due in joining[draft.group]
            for period_id, _ in due.periods
        ],
    )
    await announce_drafts(conn, tenant, [draft.invoice_id for draft in created])


def draft_of(
    group: Group, dues: Sequence[DuePeriods], invoice_id: UUID, grace_days: int
) -> invoices.Draft:
    """Return the draft that bills `dues`, in the trace of the first of them.

    One of instant fees has no grace: what it bills does not change any more.
    """
    grace = timedelta(days=grace_days if group.kind is Kind.SUBSCRIPTION else 0)
    spans = [period for due in dues for _, period in due.periods]
    return invoices.Draft(
        invoice_id=invoice_id,
        group=group,
        time_zone=dues[0].time_zone,
        period=Period(min(each.start for each in spans), max(each.end for each in spans)),
        finalize_at=max(due.due_at for due in dues) + grace,
        headers=dues[0].headers,
    )


async def announce_drafts(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Sequence[UUID]
) -> None:
    if invoice_ids:
        drafted = await invoices.load_invoices(conn, tenant, invoice_ids)
        await outbox.append_all(
            conn,
            [
                (tenant, InvoiceDrafted(invoice=invoice_message(one)), one.trace_headers)
                for one in (drafted[invoice_id] for invoice_id in invoice_ids)
            ],
        )


async def note_changed_usage(
    conn: AsyncConnection, tenant: Tenant, changed: Sequence[ChangedUsage], *, now: datetime
) -> None:
    """Mark the periods' drafts for a refresh or, where fees were frozen, adjustments as due.

    A draft of a closed period is in the finalizer's hands: its fees no longer change.
    """
    open_ids = {one.period_id for one in changed if not one.closed}
    if open_ids:
        await invoices.mark_stale(conn, tenant, open_ids)
    newest: dict[UUID, LateUsage] = {}
    commanded = {one.period_id for one in changed if one.commanded}
    for one in sorted(changed, key=lambda one: one.late_version):
        if one.closed:
            newest[one.period_id] = LateUsage(
                one.period_id,
                one.customer_id,
                one.currency,
                one.late_version,
                at_once=one.period_id in commanded,
            )
    counting = await _counting(conn, tenant, newest.values(), now)
    await late.note_late_usage(conn, tenant, counting, now=now)


async def _counting(
    conn: AsyncConnection, tenant: Tenant, found: Collection[LateUsage], now: datetime
) -> list[LateUsage]:
    """Return what of late usage counts: that of some customers may be too late."""
    customers = await parties.find_customers(conn, tenant, {one.customer_id for one in found})
    ends = await invoices.find_ends(conn, tenant, {one.period_id for one in found})

    def ignored(one: LateUsage) -> bool:
        buyer, end = customers.get(one.customer_id), ends.get(one.period_id)
        return not one.at_once and bool(buyer and end and buyer.ignores(end, now))

    return [one for one in found if not ignored(one)]


async def load_draft(engine: AsyncEngine, tenant: Tenant, invoice_id: UUID) -> DraftWork:
    """Return what a draft bills, before its periods are rated."""
    async with begin(engine, tenant) as conn:
        found = await invoices.load_invoices(conn, tenant, [invoice_id])
        period_ids = await invoices.load_period_ids(conn, tenant, [invoice_id])
        return DraftWork(found[invoice_id], period_ids[invoice_id])


async def refresh_draft(
    engine: AsyncEngine, tenant: Tenant, work: DraftWork, rated: Sequence[RatedPeriod]
) -> bool:
    """Show `rated` on a draft; False if the draft has moved on since `work` was loaded."""
    invoice_id = work.invoice.invoice_id
    async with begin(engine, tenant) as conn:
        invoice = (await invoices.lock_invoices(conn, tenant, [invoice_id]))[invoice_id]
        if invoice.status is not Status.DRAFT or invoice.revision != work.invoice.revision:
            return False
        content = await show_draft(conn, tenant, invoice, rated)
        await parts.replace_contents(conn, tenant, [(invoice, content)])
        await tell_draft(conn, tenant, invoice, rated, content.lines)
    return True


async def show_draft(
    conn: AsyncConnection, tenant: Tenant, invoice: Invoice, rated: Sequence[RatedPeriod]
) -> Content:
    """Return what a draft of `rated` bills today, before credit notes."""
    invoice_id = invoice.invoice_id
    by_hand = await load_given(conn, tenant, [invoice])
    adjusted = await adjusted_fees.load_adjusted(conn, tenant, [invoice_id])
    rated = adjust(invoice_id, invoice.currency, rated, adjusted[invoice_id])
    early = await show_early(conn, tenant, invoice_id, rated)
    content = compose(invoice_id, [*rated, *by_hand[invoice_id]], early.shares_minor)
    drafts, composed = {invoice_id: invoice}, {invoice_id: with_early(content, early.credits)}
    composed = await take_coupons(conn, tenant, drafts, composed)
    composed = await take_taxes(conn, tenant, drafts, composed)
    return composed[invoice_id]


async def load_given(
    conn: AsyncConnection, tenant: Tenant, billed: Collection[Invoice]
) -> dict[UUID, list[RatedPeriod]]:
    """Return what invoices bill without a period, by invoice."""
    invoice_ids = [one.invoice_id for one in billed]
    found = await add_ons.load_add_ons(conn, tenant, invoice_ids)
    adjusted = await adjusted_fees.load_adjusted(conn, tenant, invoice_ids)
    by_hand: dict[UUID, list[RatedPeriod]] = {}
    for one in billed:
        key = one.invoice_id, one.currency
        rated = given(*key, found[one.invoice_id], at=one.created_at, zone=one.time_zone)
        by_hand[one.invoice_id] = adjust(*key, rated, adjusted[one.invoice_id])
    return by_hand
