"""Invoices that asked to be paid, each with the answer it got."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.errors import AlreadyExists
from libs.tenant import Tenant
from services.wallet.store.schema import applications


class InvoiceContentChanged(AlreadyExists):
    """The invoice came before with other content."""

    reason = "INVOICE_CONTENT_CHANGED"


async def claim(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, content_hash: bytes, now: datetime
) -> bytes | None:
    """Take an invoice for the caller's transaction, or return the answer it got before.

    None says: pay it, then `save_answer`. Unlike request ids it is kept for good. A first attempt
    still running elsewhere is waited for.

    Raises:
        InvoiceContentChanged: it came before with other content.
    """
    key = {"tenant": tenant, "invoice_id": invoice_id}
    taking = insert(applications).values(**key, content_hash=content_hash, created_at=now)
    if (await conn.execute(taking.on_conflict_do_nothing())).rowcount == 1:
        return None
    # A statement of its own: the insert's snapshot is older than the row it lost to.
    earlier = (await conn.execute(select(applications).filter_by(**key))).one()
    if earlier.content_hash != content_hash:
        raise InvoiceContentChanged(f"invoice {invoice_id} came before with other content")
    answer: bytes = earlier.answer
    return answer


async def save_answer(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, answer: bytes
) -> None:
    """Store the answer for every repeat of the claimed invoice."""
    await conn.execute(
        update(applications).filter_by(tenant=tenant, invoice_id=invoice_id).values(answer=answer)
    )
