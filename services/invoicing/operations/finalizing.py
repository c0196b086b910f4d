"""Finalizing invoices of a tenant: three transactions, with questions to peers between them.

claim → (rating closes the periods) → freeze → (wallet pays) → complete. Each may be repeated by
anyone at any time: the invoices' rows are locked, in the order of their ids, and their statuses
tell what is done already. Each takes many invoices at once, all or none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import begin
from libs.period import local_day
from libs.tenant import Tenant
from services.invoicing.domain.content_hash import content_hash
from services.invoicing.domain.invoice import (
    Content,
    Credit,
    Invoice,
    Kind,
    SettledPeriod,
    Status,
    choose_adjustments,
    compose,
    issue_date,
    with_early,
)
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.domain.numbering import Sequence as NumberSequence
from services.invoicing.domain.numbering import invoice_number, place_of
from services.invoicing.domain.party import (
    BillingEntity,
    Entities,
    KnownCustomer,
    ZeroInvoices,
)
from services.invoicing.domain.progressive import Early
from services.invoicing.operations.asking import ask_for_payment
from services.invoicing.operations.changing import adjust_closed
from services.invoicing.operations.composing import take_coupons, take_notes, take_taxes
from services.invoicing.operations.crediting import issue_notes
from services.invoicing.operations.drafting import load_given
from services.invoicing.operations.early import Billing, lock_early
from services.invoicing.operations.gathering import decide_adjustments
from services.invoicing.operations.messages import invoice_message
from services.invoicing.store import (
    entities,
    invoices,
    late,
    parties,
    parts,
    series,
    unbilled,
)
from services.invoicing.store.late import Adjustment
from tally.invoicing.v1.events_pb2 import InvoiceFinalized


@dataclass(frozen=True, slots=True)
class Claim:
    """An invoice to be finalized, with its lines once it is frozen.

    A draft still bills `period_ids` and the adjustments that it has claimed; `settled` are the
    periods of one that is frozen.
    """

    invoice: Invoice
    period_ids: list[UUID]
    adjustments: list[Adjustment]
    settled: list[SettledPeriod]


@dataclass(frozen=True, slots=True)
class Priced:
    """What rating answered for a draft, and the trace in which it was asked."""

    invoice_id: UUID
    closed: Sequence[RatedPeriod]
    adjusted: Sequence[RatedPeriod]
    trace_id: str


async def claim(engine: AsyncEngine, tenant: Tenant, invoice_ids: Sequence[UUID]) -> list[Claim]:
    """Return those of the invoices that are not closed, in their order, and all they bill.

    What rating is asked for is written down first.
    """
    async with begin(engine, tenant) as conn:
        locked = await invoices.lock_invoices(conn, tenant, invoice_ids)
        drafts = [one for one in map(locked.get, invoice_ids) if one and one.status is Status.DRAFT]
        frozen = [one for one in locked.values() if one.status is Status.FINALIZING]
        draft_ids = [draft.invoice_id for draft in drafts]
        period_ids = await invoices.load_period_ids(conn, tenant, draft_ids)
        of_periods = [draft for draft in drafts if draft.kind.takes_late_usage]
        adjustments = await late.claim_adjustments(conn, tenant, of_periods)
        settled = await invoices.load_settled(conn, tenant, [one.invoice_id for one in frozen])
        whole = await parts.with_parts(conn, tenant, frozen)
    claims = {
        draft.invoice_id: Claim(
            draft, period_ids[draft.invoice_id], adjustments.get(draft.invoice_id, []), []
        )
        for draft in drafts
    }
    claims |= {one.invoice_id: Claim(one, [], [], settled[one.invoice_id]) for one in whole}
    return [claims[invoice_id] for invoice_id in invoice_ids if invoice_id in claims]


async def freeze(
    engine: AsyncEngine, tenant: Tenant, priced: Sequence[Priced], *, now: datetime
) -> list[Claim]:
    """Freeze drafts with the fees of their closed periods, and the adjustments that fit on them.

    Adjustments below zero become credit notes on the invoices of their periods, and all notes of
    the customer that have something left pay what they can. Returns what was frozen: not what was
    frozen before, nor a draft that bills something else by now.
    """
    invoice_ids = [one.invoice_id for one in priced]
    async with begin(engine, tenant) as conn:
        locked = await invoices.lock_invoices(conn, tenant, invoice_ids)
        period_ids = await invoices.load_period_ids(conn, tenant, invoice_ids)
        claimed = await late.load_claimed(conn, tenant, invoice_ids)
        unchanged = [
            one
            for one in priced
            if locked[one.invoice_id].status is Status.DRAFT
            and bills(one, period_ids[one.invoice_id], claimed[one.invoice_id])
        ]
        closed = {one.invoice_id: one.closed for one in unchanged}
        shown = await adjust_closed(conn, tenant, locked, closed)
        unchanged = [replace(one, closed=shown[one.invoice_id]) for one in unchanged]
        early, notes = await lock_early(conn, tenant, [billing_of(one) for one in unchanged])
        taken = await take_adjustments(conn, tenant, unchanged, early, now=now)
        await issue_notes(conn, tenant, notes, now=now)
        by_hand = await load_given(conn, tenant, [locked[one.invoice_id] for one in unchanged])
        composed = {
            one.invoice_id: compose(
                one.invoice_id,
                [*one.closed, *taken[one.invoice_id], *by_hand[one.invoice_id]],
                early[one.invoice_id].shares_minor,
            )
            for one in unchanged
        }
        composed = {
            invoice_id: with_early(content, early[invoice_id].credits)
            for invoice_id, content in composed.items()
        }
        composed = await take_coupons(conn, tenant, locked, composed, consume=True)
        composed = await take_taxes(conn, tenant, locked, composed)
        noted = await take_notes(conn, tenant, locked, composed)
        contents = [
            (
                frozen_invoice(locked[one.invoice_id], noted[one.invoice_id], one),
                noted[one.invoice_id],
            )
            for one in unchanged
        ]
        settled = {one.invoice_id: settled_periods(one) for one in unchanged}
        if contents:
            await invoices.save_settled(conn, tenant, settled)
            await parts.replace_contents(conn, tenant, contents)
            await parts.freeze(conn, tenant, [invoice for invoice, _ in contents])
    return [Claim(invoice, [], [], settled[invoice.invoice_id]) for invoice, _ in contents]


def billing_of(priced: Priced) -> Billing:
    """Return what a draft bills that progressive invoices may have billed before."""
    return Billing(priced.invoice_id, priced.closed, priced.adjusted)


def bills(priced: Priced, period_ids: Sequence[UUID], claimed: Sequence[Adjustment]) -> bool:
    """Tell whether a draft still bills what rating was asked for."""
    if sorted(period_ids) != sorted(one.period_id for one in priced.closed):
        return False
    asked = {(one.period_id, one.sequence) for one in priced.adjusted}
    return asked == {(one.period_id, one.sequence) for one in claimed}


async def take_adjustments(
    conn: AsyncConnection,
    tenant: Tenant,
    priced: Sequence[Priced],
    early: Mapping[UUID, Early],
    *,
    now: datetime,
) -> dict[UUID, list[RatedPeriod]]:
    """Store what rating answered of late usage, and bill and return what fits on each invoice.

    The notes of all invoices are made at once: others wait for their numbers.
    """
    adjusted = [each for one in priced for each in one.adjusted]
    if not adjusted:
        return {one.invoice_id: [] for one in priced}
    freezing = [one.invoice_id for one in priced]
    lines = await decide_adjustments(conn, tenant, adjusted, now=now, freezing=freezing)
    billable = {(one.period_id, one.sequence) for one in lines}
    taken: dict[UUID, list[RatedPeriod]] = {}
    for one in priced:
        mine = [each for each in one.adjusted if (each.period_id, each.sequence) in billable]
        billed_minor = sum(each.amount_minor for each in one.closed)
        subtotal_minor = billed_minor - early[one.invoice_id].amount_minor
        fitting, waiting = choose_adjustments(subtotal_minor, mine)
        taken[one.invoice_id] = fitting
        await late.save_adjustments(conn, tenant, fitting, invoice_id=one.invoice_id, now=now)
        await late.save_adjustments(conn, tenant, waiting, now=now)
    billed = [
        (invoice_id, each.period_id, invoices.adjustment_purpose(each.sequence))
        for invoice_id, fitting in taken.items()
        for each in fitting
    ]
    await invoices.bill_periods(conn, tenant, billed)
    return taken


def frozen_invoice(invoice: Invoice, content: Content, priced: Priced) -> Invoice:
    """Return a draft as it is from now on, until it is paid."""
    return replace(
        invoice,
        status=Status.FINALIZING,
        lines=content.lines,
        taxes=content.taxes,
        coupons=content.coupons,
        coupons_minor=content.coupons_minor,
        subtotal_minor=content.subtotal_minor,
        progressive_credit_minor=content.progressive_credit_minor,
        early=content.early,
        tax_minor=content.tax_minor,
        credit_notes_minor=content.credit_notes_minor,
        total_minor=content.gross_minor - content.credit_notes_minor,
        trace_id=priced.trace_id,
        content_hash=content_hash(
            invoice.invoice_id,
            content,
            customer_id=invoice.customer_id,
            currency=invoice.currency,
            period_ids=[one.period_id for one in priced.closed],
        ),
    )


def settled_periods(priced: Priced) -> list[SettledPeriod]:
    """Return whose time an invoice settles, in the order of the periods' ids."""
    settling = [one for one in priced.closed if one.settles]
    ordered = sorted(settling, key=lambda one: one.period_id)
    return [SettledPeriod(one.period_id, one.subscription_id, one.period) for one in ordered]


async def complete(
    engine: AsyncEngine,
    tenant: Tenant,
    paid: Mapping[UUID, Sequence[Credit]],
    *,
    now: datetime,
) -> dict[UUID, str]:
    """Close frozen invoices with what wallets paid, and announce them; return their numbers.

    The numbers are taken last, in this order. An invoice of nothing is skipped without a number
    where the billing entity wants that, and one that requires its payment is open until then. What
    is closed already stays as it is.
    """
    async with begin(engine, tenant) as conn:
        locked = await invoices.lock_invoices(conn, tenant, paid.keys())
        frozen = [locked[one] for one in paid if locked[one].status is Status.FINALIZING]
        if not frozen:
            return {}
        await parts.save_credits(
            conn, tenant, {one.invoice_id: paid[one.invoice_id] for one in frozen}
        )
        credited = {
            one.invoice_id: sum(credit.amount_minor for credit in paid[one.invoice_id])
            for one in frozen
        }
        waiting = [
            one.invoice_id
            for one in frozen
            if one.requires_payment and one.total_minor > credited[one.invoice_id]
        ]
        await parts.leave_open(conn, tenant, {one: credited[one] for one in waiting})
        left_open = await invoices.load_invoices(conn, tenant, waiting)
        await ask_for_payment(conn, tenant, list(left_open.values()), now=now)
        closing = [one for one in frozen if one.invoice_id not in waiting]
        await unbilled.note_billed(conn, tenant, [one.invoice_id for one in closing])
        return await close(conn, tenant, closing, credited, now=now)


async def close_paid(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Sequence[UUID], *, now: datetime
) -> dict[UUID, str]:
    """Close those of the invoices that are open, as they are paid, and return their numbers."""
    locked = await invoices.lock_invoices(conn, tenant, invoice_ids)
    paid = [locked[one] for one in invoice_ids if locked[one].status is Status.OPEN]
    credited = {one.invoice_id: one.credits_minor for one in paid}
    return await close(conn, tenant, paid, credited, now=now)


async def close(
    conn: AsyncConnection,
    tenant: Tenant,
    closing: Sequence[Invoice],
    credited: Mapping[UUID, int],
    *,
    now: datetime,
) -> dict[UUID, str]:
    """Close locked invoices of which so much was credited, announce them, return their numbers."""
    sellers = await entities.load_entities(conn, tenant)
    buyers = await parties.find_customers(conn, tenant, {one.customer_id for one in closing})
    numbered = [one for one in closing if not is_skipped(one, sellers.named(one.entity_code))]
    numbers = await take_numbers(conn, tenant, numbered, sellers, buyers, now=now)
    closed: dict[UUID, parts.Closed] = {}
    for invoice in closing:
        sequence, number = numbers.get(invoice.invoice_id, (None, None))
        closed[invoice.invoice_id] = parts.Closed(
            status=Status.FINALIZED if number else Status.SKIPPED,
            credits_minor=credited[invoice.invoice_id],
            dates=dates(invoice, sellers, buyers[invoice.customer_id], now=now),
            sequence=sequence,
            number=number,
        )
    await parts.close(conn, tenant, closed, finalized_at=now)
    await announce_finalized(conn, tenant, list(numbers), now=now)
    return {invoice_id: number for invoice_id, (_, number) in numbers.items()}


async def take_numbers(
    conn: AsyncConnection,
    tenant: Tenant,
    numbered: Sequence[Invoice],
    sellers: Entities,
    buyers: Mapping[str, KnownCustomer],
    *,
    now: datetime,
) -> dict[UUID, tuple[NumberSequence, str]]:
    """Return the places and numbers of invoices, which they take in their order."""
    places = [place_of(one.entity_code, buyers[one.customer_id]) for one in numbered]
    sequences = await series.take_sequences(conn, tenant, places)
    return {
        invoice.invoice_id: (
            sequence,
            invoice_number(
                sellers.named(invoice.entity_code),
                sequence=sequence,
                customer_number=buyers[invoice.customer_id].number,
                finalized_at=now,
            ),
        )
        for invoice, sequence in zip(numbered, sequences, strict=True)
    }


def dates(
    invoice: Invoice, sellers: Entities, buyer: KnownCustomer, *, now: datetime
) -> tuple[date, date]:
    """Return the issue date of an invoice that is finalized now, and the day payment is due."""
    seller = sellers.named(invoice.entity_code)
    finalized_day = local_day(now, ZoneInfo(invoice.time_zone))
    issued = finalized_day
    if invoice.kind is Kind.SUBSCRIPTION:
        anchor, adjustment = buyer.issue_anchor(seller), buyer.issue_adjustment(seller)
        issued = issue_date(invoice.group_day, finalized_day, anchor, adjustment)
    return issued, issued + timedelta(days=buyer.net_terms_days(seller))


async def announce_finalized(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Sequence[UUID], *, now: datetime
) -> None:
    """Announce closed invoices, and ask for their payment from here on."""
    closed = await invoices.load_invoices(conn, tenant, invoice_ids)
    asking = await ask_for_payment(conn, tenant, list(closed.values()), now=now)
    whole = await parts.with_parts(conn, tenant, asking)
    finalized = {
        one.invoice_id: (tenant, InvoiceFinalized(invoice=invoice_message(one)), one.trace_headers)
        for one in whole
    }
    await outbox.append_all(conn, [finalized[invoice_id] for invoice_id in invoice_ids])


def is_skipped(invoice: Invoice, entity: BillingEntity) -> bool:
    """Tell whether an invoice bills nothing and nobody wants to see it."""
    nothing = invoice.coupons_minor + invoice.subtotal_minor + invoice.tax_minor == 0
    unwanted = entity.zero_invoices is ZeroInvoices.SKIP or invoice.kind is Kind.PROGRESSIVE
    return nothing and unwanted
