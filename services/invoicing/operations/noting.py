"""Credit notes made and voided by hand, and as callers see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox, requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.credit_note import (
    Creditable,
    CreditNote,
    CreditNoteUsed,
    InvoiceNotFinalized,
    NoteItem,
    NoteStatus,
    creditable_minor,
    price_note,
)
from services.invoicing.domain.folded_lines import LineNotFound
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.operations.crediting import NewNote, issue_notes
from services.invoicing.operations.messages import credit_note_message, estimate_message
from services.invoicing.store import credit_notes as store
from services.invoicing.store import invoices, parts
from tally.invoicing.v1 import credit_note_service_pb2 as pb
from tally.invoicing.v1.events_pb2 import CreditNoteVoided


@dataclass(frozen=True, slots=True)
class NoteOrder:
    """What of an invoice a caller wants to be given back, and why."""

    invoice_id: UUID
    items: tuple[NoteItem, ...]
    reason: str


async def create_note(
    engine: AsyncEngine, tenant: Tenant, request: Request, order: NoteOrder, *, now: datetime
) -> pb.CreateCreditNoteResponse:
    """Give back what is ordered.

    Raises:
        InvoiceNotFound, LineNotFound: there is none.
        InvoiceNotFinalized: it has no number.
        CreditExceedsLine, CreditExceedsInvoice: there is less left.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreateCreditNoteResponse)
        if earlier is not None:
            return earlier
        _, left, new = await _priced(conn, tenant, order)
        [note] = await issue_notes(conn, tenant, [new], now=now)
        answer = pb.CreateCreditNoteResponse(
            credit_note=credit_note_message(note), creditable_minor=_left_after(left, new)
        )
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def estimate_note(
    engine: AsyncEngine, tenant: Tenant, order: NoteOrder
) -> pb.CreateCreditNoteResponse:
    """Tell what `create_note` would give back, or raise what it would."""
    async with begin(engine, tenant) as conn:
        invoice, left, new = await _priced(conn, tenant, order)
    estimate = estimate_message(invoice, new.amounts, order.reason)
    return pb.CreateCreditNoteResponse(
        credit_note=estimate, creditable_minor=_left_after(left, new)
    )


async def void_note(
    engine: AsyncEngine, tenant: Tenant, request: Request, note_id: UUID, *, now: datetime
) -> pb.VoidCreditNoteResponse:
    """Void a credit note that paid nothing; one that is voided stays as it is.

    Raises:
        CreditNoteNotFound: there is none.
        CreditNoteUsed: it paid something.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.VoidCreditNoteResponse)
        if earlier is not None:
            return earlier
        await store.lock_note(conn, tenant, note_id)
        note = await store.load_note(conn, tenant, note_id)
        if note.status is not NoteStatus.VOIDED:
            if note.balance_minor < note.total_minor:
                used = note.total_minor - note.balance_minor
                raise CreditNoteUsed(
                    f"{used} of {note.total_minor} of the credit note {note.number} paid invoices"
                )
            await store.void(conn, tenant, note_id, now=now)
            note = await store.load_note(conn, tenant, note_id)
            await outbox.append(
                conn, tenant, CreditNoteVoided(credit_note=credit_note_message(note))
            )
        answer = pb.VoidCreditNoteResponse(credit_note=credit_note_message(note))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_note(
    engine: AsyncEngine, tenant: Tenant, *, note_id: UUID | None = None, number: str = ""
) -> CreditNote:
    """Return a credit note by its id or its number.

    Raises:
        CreditNoteNotFound: the tenant has none.
    """
    async with begin(engine, tenant) as conn:
        which = note_id or await store.find_note_id(conn, tenant, number)
        return await store.load_note(conn, tenant, which)


async def list_notes(
    engine: AsyncEngine,
    tenant: Tenant,
    *,
    customer_id: str,
    invoice_id: UUID | None,
    before: int | None,
    limit: int,
) -> Sequence[tuple[int, CreditNote]]:
    """Return credit notes, newest first, each with its ordinal to page by."""
    async with begin(engine, tenant) as conn:
        return await store.list_notes(
            conn,
            tenant,
            customer_id=customer_id,
            invoice_id=invoice_id,
            before=before,
            limit=limit,
        )


async def _priced(
    conn: AsyncConnection, tenant: Tenant, order: NoteOrder
) -> tuple[Invoice, Creditable, NewNote]:
    """Lock the invoice and return it, what it has left, and the note that is ordered."""
    locked = await invoices.lock_invoices(conn, tenant, [order.invoice_id])
    [invoice] = await parts.with_parts(conn, tenant, locked.values())
    if invoice.status is not Status.FINALIZED:
        raise InvoiceNotFinalized(f"the invoice {invoice.invoice_id} is {invoice.status}")
    lines = {line.line_id for line in invoice.lines}
    for item in order.items:
        if item.line_id not in lines:
            raise LineNotFound(f"no line {item.line_id} on the invoice {invoice.number}")
    left = (await store.load_creditable(conn, tenant, [invoice]))[invoice.invoice_id]
    return invoice, left, NewNote(invoice, price_note(left, order.items), order.reason)


def _left_after(left: Creditable, new: NewNote) -> int:
    return creditable_minor(replace(left, notes=(*left.notes, new.amounts)))
