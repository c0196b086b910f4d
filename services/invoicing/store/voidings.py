"""Reading and writing what was voided, and what was billed again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import and_, exists, insert, not_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.credit_note import NoteStatus
from services.invoicing.domain.invoice import Status
from services.invoicing.domain.voiding import NoteOnIt, Voiding
from services.invoicing.store.invoices import CLOSE
from services.invoicing.store.late import Outcome
from services.invoicing.store.note_schema import credit_note_applications, credit_notes
from services.invoicing.store.schema import adjustments, invoice_periods, invoices
from services.invoicing.store.void_schema import reissues, voidings

Reference = tuple[Tenant, UUID]


async def lock_notes(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID) -> list[NoteOnIt]:
    """Return the notes on an invoice that are not voided; lock them, and those that paid it.

    The order is that in which a freeze locks notes.
    """
    paying = select(credit_note_applications.c.credit_note_id).filter_by(
        tenant=tenant, invoice_id=invoice_id
    )
    columns = credit_notes.c
    touched = (columns.invoice_id == invoice_id) | columns.credit_note_id.in_(paying)
    query = select(credit_notes).filter_by(tenant=tenant).where(touched).order_by(columns.ordinal)
    return [
        NoteOnIt(row.credit_note_id, row.total_minor, row.balance_minor)
        for row in await conn.execute(query.with_for_update())
        if row.invoice_id == invoice_id and row.status != NoteStatus.VOIDED
    ]


async def void(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, voiding: Voiding) -> None:
    """Void a locked, finalized invoice: its periods are free, and what notes paid is theirs again.

    The notes are locked.
    """
    of_invoice = {"tenant": tenant, "invoice_id": invoice_id}
    await conn.execute(update(invoices).filter_by(**of_invoice).values(status=Status.VOIDED))
    returned_at = voiding.voided_at if voiding.credits_returned else None
    await conn.execute(
        insert(voidings).values(
            **of_invoice,
            reason=voiding.reason,
            voided_at=voiding.voided_at,
            credits_returned_at=returned_at,
        )
    )
    await conn.execute(update(invoice_periods).filter_by(**of_invoice).values(live=False))
    given_back = (
        update(credit_note_applications).filter_by(**of_invoice).values(returned=True)
    ).returning(credit_note_applications.c.credit_note_id, credit_note_applications.c.amount_minor)
    for row in (await conn.execute(given_back)).all():  # Few: each is a note that paid.
        await conn.execute(
            update(credit_notes)
            .filter_by(tenant=tenant, credit_note_id=row.credit_note_id)
            .values(
                balance_minor=credit_notes.c.balance_minor + row.amount_minor,
                status=NoteStatus.AVAILABLE,
            )
        )


async def find_voidings(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, Voiding]:
    """Return how invoices were voided, of those that were."""
    again = and_(
        reissues.c.tenant == voidings.c.tenant,
        reissues.c.voided_invoice_id == voidings.c.invoice_id,
    )
    query = (
        select(voidings, reissues.c.invoice_id.label("reissued_as"))
        .join(reissues, again, isouter=True)
        .where(voidings.c.tenant == tenant, among(voidings.c.invoice_id, invoice_ids))
    )
    return {
        row.invoice_id: Voiding(
            row.reason,
            row.voided_at.astimezone(UTC),
            row.credits_returned_at is not None,
            row.reissued_as,
        )
        for row in await conn.execute(query)
    }


async def find_reissued(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, UUID]:
    """Return which voided invoices others bill again, by the others."""
    query = select(reissues).filter_by(tenant=tenant)
    found = await conn.execute(query.where(among(reissues.c.invoice_id, invoice_ids)))
    return {row.invoice_id: row.voided_invoice_id for row in found}


async def find_unreturned(conn: AsyncConnection, *, limit: int) -> list[Reference]:
    """Return voided invoices whose credits wallets have to take back, over all tenants."""
    query = select(voidings.c.tenant, voidings.c.invoice_id).filter_by(credits_returned_at=None)
    ordered = query.order_by(voidings.c.voided_at, voidings.c.invoice_id).limit(limit)
    return [(Tenant(row.tenant), row.invoice_id) for row in await conn.execute(ordered)]


async def mark_returned(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, *, now: datetime
) -> None:
    """Note that wallets have taken back what they paid; a repeat changes nothing."""
    which = {"tenant": tenant, "invoice_id": invoice_id, "credits_returned_at": None}
    await conn.execute(update(voidings).filter_by(**which).values(credits_returned_at=now))


async def reissue(conn: AsyncConnection, tenant: Tenant, voided_id: UUID, invoice_id: UUID) -> None:
    """Give the adjustments of a voided invoice, and of voided notes on it, to the one made anew.

    Their late periods are locked, and the new invoice is stored.
    """
    row = {"tenant": tenant, "invoice_id": invoice_id, "voided_invoice_id": voided_id}
    await conn.execute(insert(reissues).values(**row))
    key = (adjustments.c.period_id, adjustments.c.sequence)
    of_notes = (credit_notes.c.period_id, credit_notes.c.adjustment_sequence)
    notes = select(*of_notes).filter_by(tenant=tenant)
    live = notes.where(credit_notes.c.status != NoteStatus.VOIDED, of_notes[0].is_not(None))
    dead = notes.where(credit_notes.c.invoice_id == voided_id, of_notes[0].is_not(None))
    noted = and_(
        adjustments.c.outcome == Outcome.NOTE,
        tuple_(*key).in_(dead),
        not_(tuple_(*key).in_(live)),
    )
    await conn.execute(
        update(adjustments)
        .filter_by(tenant=tenant)
        .where((adjustments.c.invoice_id == voided_id) | noted)
        .values(invoice_id=invoice_id, outcome=None, covered_minor=0)
    )


async def load_adjusted_ids(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID
) -> Sequence[UUID]:
    """Return the late periods whose adjustments an invoice billed, or notes on it gave back."""
    billed = select(adjustments.c.period_id).filter_by(tenant=tenant, invoice_id=invoice_id)
    noted = select(credit_notes.c.period_id).filter_by(tenant=tenant, invoice_id=invoice_id)
    both = billed.union(noted.where(credit_notes.c.period_id.is_not(None)))
    return (await conn.execute(both)).scalars().all()


async def find_freed(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> set[UUID]:
    """Return those of `period_ids` that were billed by voided invoices only."""
    other = invoice_periods.alias("other")
    live = exists().where(
        other.c.tenant == invoice_periods.c.tenant,
        other.c.period_id == invoice_periods.c.period_id,
        other.c.purpose == CLOSE,
        other.c.live,
    )
    query = select(invoice_periods.c.period_id).filter_by(tenant=tenant, purpose=CLOSE, live=False)
    freed = query.where(among(invoice_periods.c.period_id, period_ids), not_(live))
    return set((await conn.execute(freed)).scalars())
