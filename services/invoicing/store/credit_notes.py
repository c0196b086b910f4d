"""Reading and writing credit notes, and what invoices have left for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.credit_note import (
    Creditable,
    CreditNote,
    CreditNoteNotFound,
    NoteAmounts,
    NoteItem,
    NoteStatus,
)
from services.invoicing.domain.creditable import creditable_of
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.numbering import Sequence as NumberSequence
from services.invoicing.store.note_schema import credit_note_items, credit_notes
from services.invoicing.store.schema import adjustments, invoice_periods, invoices

NO_ADJUSTMENT = 0


async def load_creditable(
    conn: AsyncConnection, tenant: Tenant, billed: Collection[Invoice]
) -> dict[UUID, Creditable]:
    """Return what whole, locked invoices have left for credit notes, by id."""
    invoice_ids = [invoice.invoice_id for invoice in billed]
    notes = await _load_notes_on(conn, tenant, invoice_ids)
    return {
        invoice.invoice_id: creditable_of(
            invoice.lines, invoice.taxes, invoice.coupons, notes.get(invoice.invoice_id, [])
        )
        for invoice in billed
    }


async def insert_notes(
    conn: AsyncConnection,
    tenant: Tenant,
    notes: Sequence[tuple[CreditNote, str, NumberSequence]],
) -> None:
    """Store numbered notes with their items, each of an entity's series, in this order."""
    if not notes:
        return
    await conn.execute(
        insert(credit_notes),
        [
            {
                "tenant": tenant,
                "entity_code": entity_code,
                "entity_sequence": place.of_entity,
                "customer_sequence": place.of_customer,
                **columns_of(note),
            }
            for note, entity_code, place in notes
        ],
    )
    await conn.execute(
        insert(credit_note_items),
        [
            {
                "tenant": tenant,
                "credit_note_id": note.credit_note_id,
                "invoice_id": note.invoice_id,
                "position": place,
                "line_id": item.line_id,
                "amount_minor": item.amount_minor,
            }
            for note, _, _ in notes
            for place, item in enumerate(note.items)
        ],
    )


async def void(conn: AsyncConnection, tenant: Tenant, note_id: UUID, *, now: datetime) -> None:
    """Void a locked note of which nothing was applied."""
    await conn.execute(
        update(credit_notes)
        .filter_by(tenant=tenant, credit_note_id=note_id)
        .values(status=NoteStatus.VOIDED, balance_minor=0, voided_at=now)
    )


async def lock_note(conn: AsyncConnection, tenant: Tenant, note_id: UUID) -> None:
    """Lock a note, if there is one, to the end of the transaction."""
    query = select(credit_notes.c.credit_note_id).filter_by(tenant=tenant, credit_note_id=note_id)
    await conn.execute(query.with_for_update())


async def load_note(conn: AsyncConnection, tenant: Tenant, note_id: UUID) -> CreditNote:
    """Return a credit note.

    Raises:
        CreditNoteNotFound: the tenant has none.
    """
    query = with_invoice(tenant).where(credit_notes.c.credit_note_id == note_id)
    for _, note in await _read_notes(conn, tenant, query):
        return note
    raise CreditNoteNotFound(f"no credit note {note_id}")


async def find_note_id(conn: AsyncConnection, tenant: Tenant, number: str) -> UUID:
    """Return the credit note that has a number.

    Raises:
        CreditNoteNotFound: the tenant has none.
    """
    query = select(credit_notes.c.credit_note_id).filter_by(tenant=tenant, number=number)
    found: UUID | None = (await conn.execute(query)).scalar_one_or_none()
    if found is None:
        raise CreditNoteNotFound(f"no credit note {number}")
    return found


async def list_notes(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str,
    invoice_id: UUID | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, CreditNote]]:
    """Return notes older than the ordinal `before`, newest first, each with its ordinal."""
    query = with_invoice(tenant).order_by(credit_notes.c.ordinal.desc()).limit(limit)
    if customer_id:
        query = query.where(credit_notes.c.customer_id == customer_id)
    if invoice_id is not None:
        query = query.where(credit_notes.c.invoice_id == invoice_id)
    if before is not None:
        query = query.where(credit_notes.c.ordinal < before)
    return await _read_notes(conn, tenant, query)


async def find_billing(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, list[UUID]]:
    """Return the live invoices that bill periods, newest first, by period."""
    of_invoice = and_(
        invoices.c.tenant == invoice_periods.c.tenant,
        invoices.c.invoice_id == invoice_periods.c.invoice_id,
    )
    query = (
        select(invoice_periods.c.period_id, invoice_periods.c.invoice_id)
        .join(invoices, of_invoice)
        .where(
            invoice_periods.c.tenant == tenant,
            invoice_periods.c.live,
            among(invoice_periods.c.period_id, period_ids),
        )
        .order_by(
            invoices.c.finalized_at.desc().nulls_first(),
            invoices.c.customer_sequence.desc().nulls_first(),
            invoices.c.invoice_id,
        )
    )
    found: dict[UUID, list[UUID]] = {period_id: [] for period_id in period_ids}
    for row in await conn.execute(query):
        if row.invoice_id not in found[row.period_id]:
            found[row.period_id].append(row.invoice_id)
    return found


async def load_given_by_hand(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, int]:
    """Return what notes made by hand gave back of each line of invoices, before tax."""
    of_note = and_(
        credit_notes.c.tenant == credit_note_items.c.tenant,
        credit_notes.c.credit_note_id == credit_note_items.c.credit_note_id,
    )
    query = (
        select(credit_note_items.c.line_id, func.sum(credit_note_items.c.amount_minor))
        .join(credit_notes, of_note)
        .where(
            credit_notes.c.tenant == tenant,
            credit_notes.c.adjustment_sequence == NO_ADJUSTMENT,
            credit_notes.c.crediting_invoice_id.is_(None),
            credit_notes.c.status != NoteStatus.VOIDED,
            among(credit_notes.c.invoice_id, invoice_ids),
        )
        .group_by(credit_note_items.c.line_id)
    )
    return {line_id: int(given) for line_id, given in await conn.execute(query)}


async def load_covered(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, int]:
    """Return how much of periods' adjustments counted as given back by hand before."""
    query = (
        select(adjustments.c.period_id, func.sum(adjustments.c.covered_minor))
        .filter_by(tenant=tenant)
        .where(among(adjustments.c.period_id, period_ids))
        .group_by(adjustments.c.period_id)
    )
    return {period_id: int(covered) for period_id, covered in await conn.execute(query)}


def with_invoice(tenant: Tenant) -> Select[Any]:
    """Return the query of credit notes with the numbers of their invoices."""
    joined = credit_notes.join(
        invoices,
        and_(
            invoices.c.tenant == credit_notes.c.tenant,
            invoices.c.invoice_id == credit_notes.c.invoice_id,
        ),
    )
    number = invoices.c.number.label("invoice_number")
    return select(credit_notes, number).select_from(joined).where(credit_notes.c.tenant == tenant)


async def _load_notes_on(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[NoteAmounts]]:
    query = with_invoice(tenant).where(
        credit_notes.c.status != NoteStatus.VOIDED, among(credit_notes.c.invoice_id, invoice_ids)
    )
    found: dict[UUID, list[NoteAmounts]] = {}
    for _, note in await _read_notes(conn, tenant, query.order_by(credit_notes.c.ordinal)):
        found.setdefault(note.invoice_id, []).append(amounts_of(note))
    return found


def amounts_of(note: CreditNote) -> NoteAmounts:
    """Return what a note gives back; its tax as it was rounded."""
    return NoteAmounts(note.items, note.subtotal_minor, note.tax_minor, Fraction(note.tax_minor))


async def _read_notes(
    conn: AsyncConnection, tenant: Tenant, query: Select[Any]
) -> list[tuple[int, CreditNote]]:
    rows = (await conn.execute(query)).all()
    which = among(credit_note_items.c.credit_note_id, [row.credit_note_id for row in rows])
    items: dict[UUID, list[NoteItem]] = {row.credit_note_id: [] for row in rows}
    of_notes = select(credit_note_items).filter_by(tenant=tenant).where(which)
    for item in await conn.execute(of_notes.order_by(credit_note_items.c.position)):
        items[item.credit_note_id].append(NoteItem(item.line_id, item.amount_minor))
    return [(row.ordinal, note_of(row, items[row.credit_note_id])) for row in rows]


def note_of(row: Row[Any], items: Sequence[NoteItem]) -> CreditNote:
    return CreditNote(
        credit_note_id=row.credit_note_id,
        number=row.number,
        status=NoteStatus(row.status),
        invoice_id=row.invoice_id,
        invoice_number=row.invoice_number,
        customer_id=row.customer_id,
        currency=row.currency,
        reason=row.reason,
        period_id=row.period_id,
        sequence=row.adjustment_sequence,
        crediting_invoice_id=row.crediting_invoice_id,
        items=tuple(items),
        subtotal_minor=row.subtotal_minor,
        tax_minor=row.tax_minor,
        total_minor=row.total_minor,
        balance_minor=row.balance_minor,
        issue_date=row.issue_date,
        issued_at=row.issued_at.astimezone(UTC),
        voided_at=row.voided_at and row.voided_at.astimezone(UTC),
        trace_id=row.trace_id,
    )


def columns_of(note: CreditNote) -> dict[str, Any]:
    return {
        "credit_note_id": note.credit_note_id,
        "status": note.status,
        "invoice_id": note.invoice_id,
        "customer_id": note.customer_id,
        "currency": note.currency,
        "reason": note.reason,
        "period_id": note.period_id,
        "adjustment_sequence": note.sequence,
        "crediting_invoice_id": note.crediting_invoice_id,
        "items_minor": sum(item.amount_minor for item in note.items),
        "subtotal_minor": note.subtotal_minor,
        "tax_minor": note.tax_minor,
        "total_minor": note.total_minor,
        "balance_minor": note.balance_minor,
        "number": note.number,
        "issue_date": note.issue_date,
        "issued_at": note.issued_at,
        "trace_id": note.trace_id,
    }
