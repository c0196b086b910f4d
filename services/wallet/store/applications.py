"""Invoices that asked to be paid, each with the answer it got."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Text, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.errors import AlreadyExists
from libs.tenant import Tenant
from services.wallet.domain.apply_credits import AppliedCredit
from services.wallet.domain.ledger import Account, Reason
from services.wallet.store.schema import applications, grant_uses, transactions

Key = tuple[int, UUID]  # Tenant and invoice.


class InvoiceContentChanged(AlreadyExists):
    """The invoice came before with other content."""

    reason = "INVOICE_CONTENT_CHANGED"


@dataclass(frozen=True, slots=True)
class StoredApplication:
    """An invoice that asked to be paid, with the answer it got."""

    tenant: int
    invoice_id: UUID
    content_hash: bytes
    answer: bytes
    returned: bool  # What was paid was given back.


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


async def claim_return(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, now: datetime
) -> bool:
    """Take what an invoice was paid for the caller's transaction; False: it was given back before.

    An invoice that never asked is noted as given back: it cannot be paid any more.
    """
    key = {"tenant": tenant, "invoice_id": invoice_id}
    noting = insert(applications).values(
        **key, content_hash=b"", answer=b"", created_at=now, returned_at=now
    )
    if (await conn.execute(noting.on_conflict_do_nothing())).rowcount == 1:
        return True
    taking = update(applications).filter_by(**key).where(applications.c.returned_at.is_(None))
    return (await conn.execute(taking.values(returned_at=now))).rowcount == 1


async def list_applications(
    conn: AsyncConnection, *, invoice_ids: Collection[UUID], after: Key | None, limit: int
) -> list[StoredApplication]:
    """Return applications by tenant and invoice, after that key; of `invoice_ids`, if any."""
    key = tuple_(applications.c.tenant, applications.c.invoice_id)
    query = select(applications)
    if invoice_ids:
        query = query.where(applications.c.invoice_id.in_(invoice_ids))
    if after is not None:
        query = query.where(key > after)
    rows = await conn.execute(query.order_by(*key.clauses).limit(limit))
    return [
        StoredApplication(
            row.tenant,
            row.invoice_id,
            row.content_hash,
            row.answer or b"",
            row.returned_at is not None,
        )
        for row in rows
    ]


async def load_paid(conn: AsyncConnection, keys: Sequence[Key]) -> dict[Key, list[AppliedCredit]]:
    """Return what the ledger paid of invoices, in the order in which it was taken."""
    asked = (
        func.unnest(
            literal([tenant for tenant, _ in keys], ARRAY(Integer)),
            literal([str(invoice_id) for _, invoice_id in keys], ARRAY(Text)),
        )
        .table_valued("tenant", "reference", name="asked")
        .render_derived()
    )
    of_invoice = (transactions.c.tenant == asked.c.tenant) & (
        transactions.c.reference == asked.c.reference
    )
    of_transaction = (grant_uses.c.tenant == transactions.c.tenant) & (
        grant_uses.c.transaction_id == transactions.c.transaction_id
    )
    query = (
        select(grant_uses, transactions.c.wallet_id, transactions.c.reference)
        .select_from(asked.join(transactions, of_invoice).join(grant_uses, of_transaction))
        .where(
            transactions.c.reason == Reason.APPLY.value,
            grant_uses.c.target == Account.REVENUE.value,
        )
        .order_by(transactions.c.transaction_id, grant_uses.c.place)
    )
    found: dict[Key, list[AppliedCredit]] = {key: [] for key in keys}
    for row in await conn.execute(query):
        credit = AppliedCredit(
            line_id=row.line_id,
            wallet_id=row.wallet_id,
            grant_id=row.grant_id,
            amount_minor=row.amount_minor,
            captured=row.source == Account.CAPTURED.value,
        )
        found[row.tenant, UUID(row.reference)].append(credit)
    return found
