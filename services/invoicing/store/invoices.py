"""Reading and writing invoices; their lines and taxes are in `parts`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import Period
from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.invoice import (
    Group,
    Invoice,
    InvoiceNotFound,
    Kind,
    SettledPeriod,
    Status,
)
from services.invoicing.domain.party import BillingEntity, Entities
from services.invoicing.domain.payment import InvoicePaymentStatus
from services.invoicing.store import entities as stored
from services.invoicing.store.invoice_rows import read_invoice, with_customer
from services.invoicing.store.receivables import asking_for
from services.invoicing.store.schema import invoice_periods, invoices

CLOSE = "close"  # The purpose of a period that an invoice bills as it ended.
ADJUSTMENT = "adjustment "


def adjustment_purpose(sequence: int) -> str:
    """Return the purpose of a period whose adjustment an invoice bills."""
    return f"{ADJUSTMENT}{sequence}"


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice that is to bill what becomes due for its group.

    `period` spans what it bills so far, None without billing periods; `headers` hold the trace that
    its finalization continues.
    """

    invoice_id: UUID
    group: Group
    time_zone: str
    period: Period | None
    finalize_at: datetime
    headers: Mapping[str, str]
    requires_payment: bool = False


async def find_drafts(
    conn: AsyncConnection, tenant: Tenant, groups: Collection[Group]
) -> dict[Group, UUID]:
    """Return the drafts of `groups` that exist, locked in the order of their ids."""
    columns = invoices.c
    query = (
        select(
            columns.invoice_id,
            columns.customer_id,
            columns.currency,
            columns.group_day,
            columns.alone,
            columns.kind,
            columns.entity_code,
        )
        .filter_by(tenant=tenant, status=Status.DRAFT)
        .where(
            among(columns.customer_id, {group.customer_id for group in groups}),
            among(columns.group_day, {group.day for group in groups}),
        )
        .order_by(columns.invoice_id)
    )
    found = {
        Group(
            row.customer_id,
            row.currency,
            row.group_day,
            row.alone,
            Kind(row.kind),
            row.entity_code,
        ): row.invoice_id
        for row in await conn.execute(query.with_for_update())
    }
    return {group: found[group] for group in groups if group in found}


async def create_drafts(
    conn: AsyncConnection, tenant: Tenant, drafts: Sequence[Draft], *, created_at: datetime
) -> None:
    """Store new drafts, without lines."""
    if drafts:
        await conn.execute(
            insert(invoices),
            [
                {
                    "tenant": tenant,
                    "invoice_id": draft.invoice_id,
                    "status": Status.DRAFT,
                    "customer_id": draft.group.customer_id,
                    "currency": draft.group.currency,
                    "group_day": draft.group.day,
                    "alone": draft.group.alone,
                    "kind": draft.group.kind,
                    "entity_code": draft.group.entity_code,
                    "time_zone": draft.time_zone,
                    "period_start": draft.period and draft.period.start,
                    "period_end": draft.period and draft.period.end,
                    "requires_payment": draft.requires_payment,
                    "finalize_at": draft.finalize_at,
                    "created_at": created_at,
                    "trace_headers": dict(draft.headers),
                }
                for draft in drafts
            ],
        )


async def extend_drafts(conn: AsyncConnection, tenant: Tenant, drafts: Sequence[Draft]) -> None:
    """Widen stored, locked drafts to the periods and waits of `drafts`, to be rated again."""
    if drafts:
        columns = invoices.c
        await conn.execute(
            update(invoices)
            .filter_by(tenant=tenant)
            .where(columns.invoice_id == bindparam("of_invoice"))
            .values(
                # least and greatest pass over nulls.
                period_start=func.least(columns.period_start, bindparam("start")),
                period_end=func.greatest(columns.period_end, bindparam("end")),
                finalize_at=func.greatest(columns.finalize_at, bindparam("until")),
                revision=columns.revision + 1,
            ),
            [
                {
                    "of_invoice": draft.invoice_id,
                    "start": draft.period and draft.period.start,
                    "end": draft.period and draft.period.end,
                    "until": draft.finalize_at,
                }
                for draft in drafts
            ],
        )


async def find_billed(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> set[UUID]:
    """Return those of `period_ids` that an invoice bills already, or did before it was voided."""
    query = select(invoice_periods.c.period_id).filter_by(tenant=tenant, purpose=CLOSE)
    billed = query.where(among(invoice_periods.c.period_id, period_ids))
    return set((await conn.execute(billed)).scalars())


async def find_ends(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, datetime]:
    """Return when the usage of those periods ended that a frozen invoice settles."""
    query = select(invoice_periods).filter_by(tenant=tenant, purpose=CLOSE, live=True)
    settled = query.where(
        among(invoice_periods.c.period_id, period_ids), invoice_periods.c.period_end.is_not(None)
    )
    return {row.period_id: row.period_end.astimezone(UTC) for row in await conn.execute(settled)}


async def bill_periods(
    conn: AsyncConnection, tenant: Tenant, billed: Sequence[tuple[UUID, UUID, str]]
) -> None:
    """Put periods on invoices, given as invoice, period and purpose.

    Raises:
        IntegrityError: a live invoice bills one of them for that purpose already.
    """
    if billed:
        rows = [
            {"tenant": tenant, "invoice_id": invoice, "period_id": period, "purpose": purpose}
            for invoice, period, purpose in billed
        ]
        await conn.execute(insert(invoice_periods), rows)


async def load_period_ids(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[UUID]]:
    """Return the periods that invoices bill, not adjust, in id order, by invoice."""
    found: dict[UUID, list[UUID]] = {invoice_id: [] for invoice_id in invoice_ids}
    for row in await conn.execute(_billed(tenant, invoice_ids)):
        found[row.invoice_id].append(row.period_id)
    return found


async def save_settled(
    conn: AsyncConnection, tenant: Tenant, settled: Mapping[UUID, Sequence[SettledPeriod]]
) -> None:
    """Note whose time the periods settle that invoices bill."""
    rows = [
        {
            "on": invoice_id,
            "settled": one.period_id,
            "of": one.subscription_id,
            "start": one.period.start,
            "end": one.period.end,
        }
        for invoice_id, of_invoice in settled.items()
        for one in of_invoice
    ]
    if rows:
        await conn.execute(
            update(invoice_periods)
            .filter_by(tenant=tenant, purpose=CLOSE)
            .where(
                invoice_periods.c.invoice_id == bindparam("on"),
                invoice_periods.c.period_id == bindparam("settled"),
            )
            .values(
                subscription_id=bindparam("of"),
                period_start=bindparam("start"),
                period_end=bindparam("end"),
            ),
            rows,
        )


async def load_settled(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[SettledPeriod]]:
    """Return the periods that frozen invoices settle, in id order, by invoice."""
    found: dict[UUID, list[SettledPeriod]] = {invoice_id: [] for invoice_id in invoice_ids}
    settling = _billed(tenant, invoice_ids).where(invoice_periods.c.period_start.is_not(None))
    for row in await conn.execute(settling):
        period = Period(row.period_start.astimezone(UTC), row.period_end.astimezone(UTC))
        found[row.invoice_id].append(SettledPeriod(row.period_id, row.subscription_id, period))
    return found


async def mark_stale(conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]) -> None:
    """Mark the drafts that bill periods for a refresh, where there are any."""
    billing = select(invoice_periods.c.invoice_id).filter_by(tenant=tenant, live=True)
    of_periods = billing.where(among(invoice_periods.c.period_id, period_ids))
    await _raise_revisions(conn, tenant, invoices.c.invoice_id.in_(of_periods))


async def mark_drafts_stale(
    conn: AsyncConnection, tenant: Tenant, *, customer_id: str | None = None
) -> None:
    """Mark the drafts of a customer, or all of the tenant's, for a refresh."""
    every = customer_id is None
    await _raise_revisions(conn, tenant, true() if every else invoices.c.customer_id == customer_id)


async def mark_draft_stale(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID) -> None:
    """Mark one draft for a refresh."""
    await _raise_revisions(conn, tenant, invoices.c.invoice_id == invoice_id)


async def make_due(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID], *, now: datetime
) -> None:
    """Let those of locked invoices that are drafts be due at `now`, if they are not by then."""
    drafts = update(invoices).filter_by(tenant=tenant, status=Status.DRAFT)
    which = among(invoices.c.invoice_id, invoice_ids)
    due = func.least(invoices.c.finalize_at, now)
    await conn.execute(drafts.where(which).values(finalize_at=due))


async def find_billable(
    conn: AsyncConnection, tenant: Tenant, *, as_of: datetime, customer_id: str
) -> list[UUID]:
    """Return drafts that are due by `as_of` and what stands half way, oldest due first.

    Of one customer, unless that is empty.
    """
    columns = invoices.c
    due = and_(columns.status == Status.DRAFT, columns.finalize_at <= as_of)
    query = select(columns.invoice_id).filter_by(tenant=tenant)
    query = query.where(or_(due, columns.status == Status.FINALIZING))
    if customer_id:
        query = query.where(columns.customer_id == customer_id)
    return list(
        (await conn.execute(query.order_by(columns.finalize_at, columns.ordinal))).scalars()
    )


async def find_billing_invoice(conn: AsyncConnection, tenant: Tenant, period_id: UUID) -> UUID:
    """Return the live invoice that bills a period for the first time: there is one."""
    query = select(invoice_periods.c.invoice_id).filter_by(
        tenant=tenant, period_id=period_id, purpose=CLOSE, live=True
    )
    found: UUID = (await conn.execute(query)).scalar_one()
    return found


async def lock_invoices(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, Invoice]:
    """Return invoices without their lines, locked in id order to the end of the transaction."""
    which = among(invoices.c.invoice_id, invoice_ids)
    query = select(invoices.c.invoice_id).filter_by(tenant=tenant).where(which)
    await conn.execute(query.order_by(invoices.c.invoice_id).with_for_update())
    return await load_invoices(conn, tenant, invoice_ids)


async def load_invoices(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, Invoice]:
    """Return invoices by id, without their lines.

    Raises:
        InvoiceNotFound: the tenant does not have one of them.
    """
    query = with_customer(tenant).where(among(invoices.c.invoice_id, invoice_ids))
    rows = {row.invoice_id: row for row in await conn.execute(query)}
    for invoice_id in invoice_ids:
        if invoice_id not in rows:
            raise InvoiceNotFound(f"no invoice {invoice_id}")
    entities = Entities({}, BillingEntity())
    if not all(row.seller for row in rows.values()):
        entities = await stored.load_entities(conn, tenant)
    return {invoice_id: read_invoice(row, entities) for invoice_id, row in rows.items()}


async def find_invoice_id(conn: AsyncConnection, tenant: Tenant, number: str) -> UUID:
    """Return the invoice that has a number.

    Raises:
        InvoiceNotFound: the tenant has none.
    """
    query = select(invoices.c.invoice_id).filter_by(tenant=tenant, number=number)
    found: UUID | None = (await conn.execute(query)).scalar_one_or_none()
    if found is None:
        raise InvoiceNotFound(f"no invoice {number}")
    return found


async def list_invoices(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str,
    status: Status | None,
    before: int | None,
    limit: int,
    payment_status: InvoicePaymentStatus | None = None,
    overdue: bool = False,
) -> list[tuple[int, Invoice]]:
    """Return invoices older than the ordinal `before`, newest first, each with its ordinal."""
    query = with_customer(tenant).order_by(invoices.c.ordinal.desc()).limit(limit)
    if customer_id:
        query = query.where(invoices.c.customer_id == customer_id)
    if status is not None:
        query = query.where(invoices.c.status == status)
    query = query.where(*asking_for(payment_status, overdue=overdue))
    if before is not None:
        query = query.where(invoices.c.ordinal < before)
    rows: Sequence[Row[Any]] = (await conn.execute(query)).all()
    entities = await stored.load_entities(conn, tenant)
    return [(row.ordinal, read_invoice(row, entities)) for row in rows]


def _billed(tenant: Tenant, invoice_ids: Collection[UUID]) -> Select[Any]:
    return (
        select(invoice_periods)
        .filter_by(tenant=tenant)
        .where(
            among(invoice_periods.c.invoice_id, invoice_ids),
            ~invoice_periods.c.purpose.startswith(ADJUSTMENT),
        )
        .order_by(invoice_periods.c.period_id)
    )


async def _raise_revisions(
    conn: AsyncConnection, tenant: Tenant, which: ColumnElement[bool]
) -> None:
    """Mark drafts for a refresh, locked in the order of their ids as everyone locks them."""
    of_drafts = {"tenant": tenant, "status": Status.DRAFT}
    locked = select(invoices.c.invoice_id).filter_by(**of_drafts).where(which)
    ordered = locked.order_by(invoices.c.invoice_id).with_for_update().cte("locked")
    await conn.execute(
        update(invoices)
        .filter_by(**of_drafts)
        .where(invoices.c.invoice_id == ordered.c.invoice_id)
        .values(revision=invoices.c.revision + 1)
    )
