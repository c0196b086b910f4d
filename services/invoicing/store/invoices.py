"""Reading and writing invoices; their lines and taxes are in `parts`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import Period
from libs.tenant import Tenant
from services.invoicing.domain.invoice import (
    Group,
    Invoice,
    InvoiceNotFound,
    SettledPeriod,
    Status,
)
from services.invoicing.domain.party import Address, Customer, Party, buyer_of, seller_of
from services.invoicing.store import parties
from services.invoicing.store.encoding import from_json
from services.invoicing.store.schema import customers, invoice_periods, invoices

CLOSE = "close"  # The purpose of a period that an invoice bills for the first time.


def adjustment_purpose(sequence: int) -> str:
    """Return the purpose of a period whose adjustment an invoice bills."""
    return f"adjustment {sequence}"


async def find_draft(conn: AsyncConnection, tenant: Tenant, group: Group) -> UUID | None:
    """Return the group's draft, locked to the end of the transaction."""
    query = select(invoices.c.invoice_id).filter_by(
        tenant=tenant,
        status=Status.DRAFT,
        customer_id=group.customer_id,
        currency=group.currency,
        group_day=group.day,
    )
    return (await conn.execute(query.with_for_update())).scalar_one_or_none()


async def create_draft(
    conn: AsyncConnection,
    tenant: Tenant,
    invoice_id: UUID,
    group: Group,
    *,
    time_zone: str,
    finalize_at: datetime,
    created_at: datetime,
    headers: dict[str, str],
) -> None:
    """Store an empty draft. `headers` hold the trace that its finalization continues."""
    await conn.execute(
        insert(invoices).values(
            tenant=tenant,
            invoice_id=invoice_id,
            status=Status.DRAFT,
            customer_id=group.customer_id,
            currency=group.currency,
            group_day=group.day,
            time_zone=time_zone,
            finalize_at=finalize_at,
            created_at=created_at,
            trace_headers=headers,
        )
    )


async def extend_draft(
    conn: AsyncConnection,
    tenant: Tenant,
    invoice_id: UUID,
    *,
    period: Period,
    finalize_at: datetime,
) -> None:
    """Widen a draft to `period`, let it wait until `finalize_at`, and mark it for a refresh."""
    await conn.execute(
        update(invoices)
        .filter_by(tenant=tenant, invoice_id=invoice_id)
        .values(
            # least and greatest pass over nulls.
            period_start=func.least(invoices.c.period_start, period.start),
            period_end=func.greatest(invoices.c.period_end, period.end),
            finalize_at=func.greatest(invoices.c.finalize_at, finalize_at),
            revision=invoices.c.revision + 1,
        )
    )


async def find_billed(
    conn: AsyncConnection, tenant: Tenant, period_ids: Sequence[UUID]
) -> set[UUID]:
    """Return those of `period_ids` that a live invoice bills already."""
    query = select(invoice_periods.c.period_id).filter_by(tenant=tenant, purpose=CLOSE, live=True)
    billed = query.where(invoice_periods.c.period_id.in_(period_ids))
    return set((await conn.execute(billed)).scalars())


async def bill_periods(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, billed: Sequence[tuple[UUID, str]]
) -> None:
    """Put periods on an invoice, each with its purpose.

    Raises:
        IntegrityError: a live invoice bills one of them for that purpose already.
    """
    if billed:
        key = {"tenant": tenant, "invoice_id": invoice_id}
        rows = [{**key, "period_id": period, "purpose": purpose} for period, purpose in billed]
        await conn.execute(insert(invoice_periods), rows)


async def load_period_ids(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID) -> list[UUID]:
    """Return the periods that an invoice bills for the first time, in id order."""
    query = select(invoice_periods.c.period_id).filter_by(
        tenant=tenant, invoice_id=invoice_id, purpose=CLOSE
    )
    return list((await conn.execute(query.order_by(invoice_periods.c.period_id))).scalars())


async def save_settled(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, settled: Sequence[SettledPeriod]
) -> None:
    """Note whose time the periods settle that an invoice bills."""
    if settled:
        await conn.execute(
            update(invoice_periods)
            .filter_by(tenant=tenant, invoice_id=invoice_id, purpose=CLOSE)
            .where(invoice_periods.c.period_id == bindparam("settled"))
            .values(
                subscription_id=bindparam("of"),
                period_start=bindparam("start"),
                period_end=bindparam("end"),
            ),
            [
                {
                    "settled": one.period_id,
                    "of": one.subscription_id,
                    "start": one.period.start,
                    "end": one.period.end,
                }
                for one in settled
            ],
        )


async def load_settled(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID
) -> list[SettledPeriod]:
    """Return the periods that a frozen invoice settles, in id order."""
    query = select(invoice_periods).filter_by(tenant=tenant, invoice_id=invoice_id, purpose=CLOSE)
    return [
        SettledPeriod(
            row.period_id,
            row.subscription_id,
            Period(row.period_start.astimezone(UTC), row.period_end.astimezone(UTC)),
        )
        for row in await conn.execute(query.order_by(invoice_periods.c.period_id))
    ]


async def mark_stale(conn: AsyncConnection, tenant: Tenant, *, period_id: UUID) -> None:
    """Mark the draft that bills a period for a refresh, if there is one."""
    billing = select(invoice_periods.c.invoice_id).filter_by(
        tenant=tenant, period_id=period_id, live=True
    )
    await conn.execute(
        update(invoices)
        .filter_by(tenant=tenant, status=Status.DRAFT)
        .where(invoices.c.invoice_id.in_(billing))
        .values(revision=invoices.c.revision + 1)
    )


async def mark_drafts_stale(
    conn: AsyncConnection, tenant: Tenant, *, customer_id: str | None = None
) -> None:
    """Mark the drafts of a customer, or all of the tenant's, for a refresh."""
    changed = update(invoices).filter_by(tenant=tenant, status=Status.DRAFT)
    if customer_id is not None:
        changed = changed.filter_by(customer_id=customer_id)
    await conn.execute(changed.values(revision=invoices.c.revision + 1))


async def lock_invoice(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID) -> Invoice:
    """Return an invoice without its lines, locked to the end of the transaction."""
    query = select(invoices).filter_by(tenant=tenant, invoice_id=invoice_id)
    await conn.execute(query.with_for_update())
    return await load_invoice(conn, tenant, invoice_id=invoice_id)


async def load_invoice(
    conn: AsyncConnection, tenant: Tenant, *, invoice_id: UUID | None = None, number: str = ""
) -> Invoice:
    """Return an invoice, by its id or its number, without its lines.

    Raises:
        InvoiceNotFound: the tenant has no such invoice.
    """
    query = with_customer(tenant)
    if invoice_id is not None:
        query = query.where(invoices.c.invoice_id == invoice_id)
    else:
        query = query.where(invoices.c.number == number)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise InvoiceNotFound(f"no invoice {invoice_id or number}")
    return await invoice_of(conn, tenant, row)


async def list_invoices(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str,
    status: Status | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, Invoice]]:
    """Return invoices older than the ordinal `before`, newest first, each with its ordinal."""
    query = with_customer(tenant).order_by(invoices.c.ordinal.desc()).limit(limit)
    if customer_id:
        query = query.where(invoices.c.customer_id == customer_id)
    if status is not None:
        query = query.where(invoices.c.status == status)
    if before is not None:
        query = query.where(invoices.c.ordinal < before)
    rows: Sequence[Row[Any]] = (await conn.execute(query)).all()
    seller = seller_of(await parties.load_entity(conn, tenant))
    return [(row.ordinal, read_invoice(row, seller)) for row in rows]


def with_customer(tenant: Tenant) -> Select[Any]:
    """Return the query of invoices with the present state of their customers."""
    buyer = [
        column.label(f"customer_{column.name}")
        for column in customers.c
        if column.name in ("name", "email", "address", "tax_id")
    ]
    joined = invoices.join(
        customers,
        (customers.c.tenant == invoices.c.tenant)
        & (customers.c.customer_id == invoices.c.customer_id),
    )
    return select(invoices, *buyer).select_from(joined).where(invoices.c.tenant == tenant)


async def invoice_of(conn: AsyncConnection, tenant: Tenant, row: Row[Any]) -> Invoice:
    seller = Party(name="") if row.seller else seller_of(await parties.load_entity(conn, tenant))
    return read_invoice(row, seller)


def read_invoice(row: Row[Any], seller_today: Party) -> Invoice:
    """Return the invoice in a row of `with_customer`; a draft's parties are those of today."""
    return Invoice(
        invoice_id=row.invoice_id,
        status=Status(row.status),
        customer_id=row.customer_id,
        currency=row.currency,
        group_day=row.group_day,
        time_zone=row.time_zone,
        finalize_at=row.finalize_at.astimezone(UTC),
        created_at=row.created_at.astimezone(UTC),
        number=row.number or "",
        subtotal_minor=row.subtotal_minor,
        tax_minor=row.tax_minor,
        credits_minor=row.credits_minor,
        total_minor=row.total_minor,
        period=period_of(row.period_start, row.period_end),
        issue_date=row.issue_date,
        due_date=row.due_date,
        finalized_at=row.finalized_at and row.finalized_at.astimezone(UTC),
        trace_id=row.trace_id,
        content_hash=row.content_hash or b"",
        revision=row.revision,
        refreshed_revision=row.refreshed_revision,
        trace_headers=row.trace_headers,
        seller=from_json(row.seller, Party) if row.seller else seller_today,
        buyer=from_json(row.buyer, Party) if row.buyer else buyer_today(row),
    )


def buyer_today(row: Row[Any]) -> Party:
    profile = Customer(
        customer_id=row.customer_id,
        name=row.customer_name,
        email=row.customer_email,
        address=from_json(row.customer_address, Address),
        tax_id=row.customer_tax_id,
    )
    return buyer_of(profile)


def period_of(start: datetime | None, end: datetime | None) -> Period | None:
    if start is None or end is None:
        return None
    return Period(start.astimezone(UTC), end.astimezone(UTC))
