"""Voiding invoices and billing them again.

An invoice is voided in one transaction, with all that this service knows of it. Wallets are asked
afterwards to take back what they paid, by anyone and as often as it takes; what is billed again
waits for that, so that it finds the credits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox, requests, telemetry
from libs.db import begin
from libs.errors import Unavailable
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.adjusted_fee import AdjustedFee, moved
from services.invoicing.domain.credit_note import InvoiceNotFinalized
from services.invoicing.domain.folded_lines import LineNotFound
from services.invoicing.domain.invoice import Group, Invoice, Kind, Status
from services.invoicing.domain.voiding import (
    InvoiceNotReissuable,
    InvoiceNotVoided,
    InvoiceReissued,
    InvoiceVoided,
    Voiding,
    notes_to_void,
)
from services.invoicing.operations.drafting import announce_drafts
from services.invoicing.operations.messages import credit_note_message, invoice_message
from services.invoicing.store import (
    add_ons,
    adjusted_fees,
    coupon_uses,
    credit_notes,
    gathering,
    invoices,
    parts,
    voidings,
)
from services.invoicing.store.invoices import Draft
from tally.invoicing.v1 import billing_service_pb2 as pb
from tally.invoicing.v1 import events_pb2


async def void_invoice(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    invoice_id: UUID,
    *,
    reason: str,
    now: datetime,
) -> pb.VoidInvoiceResponse:
    """Void a finalized invoice, and announce it.

    Raises:
        InvoiceNotFound: there is none.
        InvoiceNotFinalized: it has no number; or InvoiceVoided: it was voided before.
        CreditExceedsInvoice: notes on it gave back more than was paid of it.
        Unavailable: a payment of it is under way.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.VoidInvoiceResponse)
        if earlier is not None:
            return earlier
        invoice = (await invoices.lock_invoices(conn, tenant, [invoice_id]))[invoice_id]
        if invoice.status is Status.VOIDED:
            raise InvoiceVoided(f"the invoice {invoice.number} is voided already")
        if invoice.status is not Status.FINALIZED:
            raise InvoiceNotFinalized(f"the invoice {invoice_id} is {invoice.status}")
        receivable = invoice.asks_for
        if receivable.charging_minor:
            raise Unavailable(f"a payment of {receivable.charging_minor} is under way: try again")
        await coupon_uses.give_back(conn, tenant, [invoice_id], now=now)
        notes = await voidings.lock_notes(conn, tenant, invoice_id)
        for note_id in notes_to_void(notes, receivable.paid_minor):
            await credit_notes.void(conn, tenant, note_id, now=now)
            note = await credit_notes.load_note(conn, tenant, note_id)
            fact = events_pb2.CreditNoteVoided(credit_note=credit_note_message(note))
            await outbox.append(conn, tenant, fact)
        voiding = Voiding(reason, now, credits_returned=not invoice.credits_minor)
        await voidings.void(conn, tenant, invoice_id, voiding)
        whole = await load_whole(conn, tenant, invoice_id)
        message = invoice_message(whole)
        await outbox.append(conn, tenant, events_pb2.InvoiceVoided(invoice=message))
        answer = pb.VoidInvoiceResponse(invoice=message)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def reissue_invoice(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    voided_id: UUID,
    fees: Sequence[AdjustedFee] = (),
    *,
    now: datetime,
) -> pb.ReissueInvoiceResponse:
    """Draft an invoice of all that a voided one billed, due at once, and announce it.

    It has no lines until it is finalized. `fees` are set of lines of the voided one, beside what
    was set of them before.

    Raises:
        InvoiceNotFound, LineNotFound: there is none.
        InvoiceNotReissuable: it is progressive.
        InvoiceNotVoided: it still counts; or InvoiceReissued: another one bills it again.
        Unavailable: wallets have not taken back yet what they paid.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ReissueInvoiceResponse)
        if earlier is not None:
            return earlier
        adjusted = await voidings.load_adjusted_ids(conn, tenant, voided_id)
        await gathering.lock_late(conn, tenant, adjusted)
        await invoices.lock_invoices(conn, tenant, [voided_id])
        voided = await load_whole(conn, tenant, voided_id)
        _check_reissuable(voided)
        new_id = uuid4()
        await invoices.create_drafts(
            conn, tenant, [draft_again(voided, new_id, now)], created_at=now
        )
        period_ids = (await invoices.load_period_ids(conn, tenant, [voided_id]))[voided_id]
        billed = [(new_id, period_id, invoices.CLOSE) for period_id in period_ids]
        await invoices.bill_periods(conn, tenant, billed)
        given = await add_ons.load_add_ons(conn, tenant, [voided_id])
        await add_ons.save_add_ons(conn, tenant, new_id, given[voided_id])
        await adjust_again(conn, tenant, voided, new_id, fees)
        await voidings.reissue(conn, tenant, voided_id, new_id)
        await announce_drafts(conn, tenant, [new_id])
        whole = await load_whole(conn, tenant, new_id)
        answer = pb.ReissueInvoiceResponse(invoice=invoice_message(whole))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def adjust_again(
    conn: AsyncConnection,
    tenant: Tenant,
    voided: Invoice,
    new_id: UUID,
    fees: Sequence[AdjustedFee],
) -> None:
    """Set the fees of a new invoice's lines that are set of those of a voided one.

    Raises:
        LineNotFound: that has no such line.
    """
    lines = {line.line_id: line for line in voided.lines}
    before = await adjusted_fees.load_adjusted(conn, tenant, [voided.invoice_id])
    again: list[AdjustedFee] = []
    for one in [*before[voided.invoice_id], *fees]:
        if one.line_id in lines:
            line_id = moved(lines[one.line_id], voided.invoice_id, new_id)
            again.append(replace(one, line_id=line_id))
        elif one in fees:
            raise LineNotFound(f"no line {one.line_id} on the invoice {voided.number}")
    await adjusted_fees.save_adjusted(conn, tenant, new_id, again)


async def needs_return(engine: AsyncEngine, tenant: Tenant, invoice_id: UUID) -> datetime | None:
    """Return when an invoice was voided whose credits wallets have to take back, else None."""
    async with begin(engine, tenant) as conn:
        voiding = (await voidings.find_voidings(conn, tenant, [invoice_id])).get(invoice_id)
    return voiding.voided_at if voiding and not voiding.credits_returned else None


async def mark_returned(
    engine: AsyncEngine, tenant: Tenant, invoice_id: UUID, *, now: datetime
) -> None:
    """Note that wallets took back what they paid of a voided invoice."""
    async with begin(engine, tenant) as conn:
        await voidings.mark_returned(conn, tenant, invoice_id, now=now)


async def load_whole(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID) -> Invoice:
    """Return an invoice with its parts."""
    found = await invoices.load_invoices(conn, tenant, [invoice_id])
    [whole] = await parts.with_parts(conn, tenant, found.values())
    return whole


def draft_again(voided: Invoice, invoice_id: UUID, now: datetime) -> Draft:
    """Return the draft that bills again what a voided invoice billed: nothing else joins it."""
    group = Group(
        voided.customer_id,
        voided.currency,
        voided.group_day,
        alone=invoice_id,
        kind=voided.kind,
        entity_code=voided.entity_code,
    )
    return Draft(
        invoice_id=invoice_id,
        group=group,
        time_zone=voided.time_zone,
        period=voided.period,
        finalize_at=now,
        headers=telemetry.headers(),
        requires_payment=voided.requires_payment,
    )


def _check_reissuable(invoice: Invoice) -> None:
    voiding = invoice.voiding
    if invoice.kind is Kind.PROGRESSIVE:
        raise InvoiceNotReissuable("what it billed is on the next invoice of its period")
    if voiding is None:
        raise InvoiceNotVoided(f"the invoice {invoice.invoice_id} is {invoice.status}")
    if voiding.reissued_as is not None:
        raise InvoiceReissued(
            f"the invoice {invoice.number} was billed again as {voiding.reissued_as}"
        )
    if not voiding.credits_returned:
        raise Unavailable("wallets have not taken back yet what they paid: try again")
