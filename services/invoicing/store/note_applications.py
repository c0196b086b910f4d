"""Reading and writing what credit notes paid of invoices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, case, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.credit_note import NoteStatus
from services.invoicing.domain.invoice import AppliedNote
from services.invoicing.domain.note_use import NoteApplication, OpenNote
from services.invoicing.store.note_schema import credit_note_applications, credit_notes


async def lock_open_notes(
    conn: AsyncConnection, tenant: Tenant, customer_ids: Collection[str]
) -> dict[str, list[OpenNote]]:
    """Return the notes of customers that have something left, oldest first, by customer.

    They are locked in that order to the end of the transaction.
    """
    columns = credit_notes.c
    query = select(credit_notes).filter_by(tenant=tenant, status=NoteStatus.AVAILABLE)
    ordered = query.where(among(columns.customer_id, customer_ids)).order_by(columns.ordinal)
    found: dict[str, list[OpenNote]] = {}
    for row in await conn.execute(ordered.with_for_update()):
        note = OpenNote(
            row.credit_note_id, row.invoice_id, row.currency, row.balance_minor, row.entity_code
        )
        found.setdefault(row.customer_id, []).append(note)
    return found


async def save_applications(
    conn: AsyncConnection,
    tenant: Tenant,
    applied: Mapping[UUID, Sequence[NoteApplication]],
    noted: Mapping[UUID, UUID],
) -> None:
    """Take what locked drafts are paid with from locked notes; `noted` gives the notes' invoices.

    A note with nothing left is consumed.
    """
    rows: list[dict[str, Any]] = []
    taken: Counter[UUID] = Counter()
    for invoice_id, of_invoice in applied.items():
        for place, one in enumerate(of_invoice):
            taken[one.credit_note_id] += one.amount_minor
            rows.append(
                {
                    "tenant": tenant,
                    "invoice_id": invoice_id,
                    "position": place,
                    "credit_note_id": one.credit_note_id,
                    "note_invoice_id": noted[one.credit_note_id],
                    "amount_minor": one.amount_minor,
                }
            )
    if not rows:
        return
    await conn.execute(insert(credit_note_applications), rows)
    left = credit_notes.c.balance_minor - bindparam("taken")
    await conn.execute(
        update(credit_notes)
        .filter_by(tenant=tenant)
        .where(credit_notes.c.credit_note_id == bindparam("of_note"))
        .values(
            balance_minor=left,
            status=case((left == 0, NoteStatus.CONSUMED), else_=NoteStatus.AVAILABLE),
        ),
        [{"of_note": note_id, "taken": amount} for note_id, amount in taken.items()],
    )


async def load_applied(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[AppliedNote]]:
    """Return the notes that paid some of invoices, in their order, by invoice."""
    applications = credit_note_applications.c
    of_note = and_(
        credit_notes.c.tenant == applications.tenant,
        credit_notes.c.credit_note_id == applications.credit_note_id,
    )
    query = (
        select(credit_note_applications, credit_notes.c.number)
        .join(credit_notes, of_note)
        .where(applications.tenant == tenant, among(applications.invoice_id, invoice_ids))
        .order_by(applications.position)
    )
    found: dict[UUID, list[AppliedNote]] = {invoice_id: [] for invoice_id in invoice_ids}
    for row in await conn.execute(query):
        found[row.invoice_id].append(AppliedNote(row.credit_note_id, row.number, row.amount_minor))
    return found
