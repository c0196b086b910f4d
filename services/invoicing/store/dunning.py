"""Reading and writing the dunning campaign and payment requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.dunning import (
    Campaign,
    PaymentRequest,
    PaymentRequestNotFound,
    Requested,
)
from services.invoicing.domain.invoice import Status
from services.invoicing.store.payment_schema import (
    dunning_campaigns,
    payment_request_invoices,
    payment_requests,
    receivables,
)
from services.invoicing.store.receivables import OF_INVOICE
from services.invoicing.store.schema import invoices

Dunned = tuple[Tenant, str, str]  # A customer who owes in a currency.
OWED = (
    receivables.c.overdue,
    receivables.c.due_minor > 0,
    invoices.c.status == Status.FINALIZED,
)


async def load_campaign(conn: AsyncConnection, tenant: Tenant) -> Campaign:
    """Return the tenant's campaign; one without steps if none was set."""
    row = (await conn.execute(select(dunning_campaigns).filter_by(tenant=tenant))).one_or_none()
    return Campaign() if row is None else Campaign(tuple(row.step_days), row.thresholds)


async def save_campaign(
    conn: AsyncConnection, tenant: Tenant, campaign: Campaign, *, now: datetime
) -> None:
    """Store the tenant's campaign, and have all that is overdue looked at by it."""
    values = {"step_days": list(campaign.step_days), "thresholds": dict(campaign.thresholds)}
    row = insert(dunning_campaigns).values(tenant=tenant, **values)
    await conn.execute(row.on_conflict_do_update(index_elements=["tenant"], set_=values))
    owing = select(invoices.c.invoice_id).join(receivables, OF_INVOICE).where(*OWED)
    of_tenant = owing.where(invoices.c.tenant == tenant).order_by(invoices.c.invoice_id)
    found = list(await conn.scalars(of_tenant.with_for_update(of=invoices)))
    which = among(receivables.c.invoice_id, found)
    await conn.execute(update(receivables).filter_by(tenant=tenant).where(which).values(dun_at=now))


async def find_owing(
    conn: AsyncConnection, tenant: Tenant, customer_id: str, currency: str
) -> list[UUID]:
    """Return a customer's invoices of a currency of which something is due, in id order."""
    query = select(invoices.c.invoice_id).join(receivables, OF_INVOICE)
    of_customer = query.where(
        receivables.c.due_minor > 0,
        invoices.c.status == Status.FINALIZED,
        invoices.c.tenant == tenant,
        invoices.c.customer_id == customer_id,
        invoices.c.currency == currency,
    )
    return list(await conn.scalars(of_customer.order_by(invoices.c.invoice_id)))


async def find_dunned(conn: AsyncConnection, *, now: datetime, limit: int) -> list[Dunned]:
    """Return customers of whom a step has come by now, over all tenants."""
    columns = (invoices.c.tenant, invoices.c.customer_id, invoices.c.currency)
    query = _dunning(*columns).where(receivables.c.dun_at <= now).distinct().limit(limit)
    return [
        (Tenant(row.tenant), row.customer_id, row.currency) for row in await conn.execute(query)
    ]


async def count_dunned(conn: AsyncConnection, *, now: datetime) -> tuple[int, datetime | None]:
    """Return of how many invoices a step has come by `now`, and when the next one comes."""
    at = receivables.c.dun_at
    columns = (
        func.count().filter(at <= now).label("due"),
        func.min(at).filter(at > now).label("next_at"),
    )
    row = (await conn.execute(_dunning(*columns))).one()
    return row.due, row.next_at and row.next_at.astimezone(UTC)


def _dunning(*columns: Any) -> Select[Any]:
    joined = receivables.join(invoices, OF_INVOICE)
    waiting = receivables.c.dun_at.is_not(None)
    return select(*columns).select_from(joined).where(*OWED, waiting)


async def save_request(conn: AsyncConnection, tenant: Tenant, request: PaymentRequest) -> None:
    """Store a new payment request."""
    key = {"tenant": tenant, "payment_request_id": request.payment_request_id}
    await conn.execute(
        insert(payment_requests).values(
            **key,
            customer_id=request.customer_id,
            currency=request.amount.currency,
            amount_minor=request.amount.amount_minor,
            step=request.step,
            created_at=request.created_at,
        )
    )
    await conn.execute(
        insert(payment_request_invoices),
        [
            {
                **key,
                "invoice_id": one.invoice_id,
                "position": place,
                "requested_minor": one.requested_minor,
            }
            for place, one in enumerate(request.invoices)
        ],
    )


async def load_request(conn: AsyncConnection, tenant: Tenant, request_id: UUID) -> PaymentRequest:
    """Return a payment request as it stands now.

    Raises:
        PaymentRequestNotFound: the tenant has none.
    """
    query = select(payment_requests).filter_by(tenant=tenant, payment_request_id=request_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise PaymentRequestNotFound(f"no payment request {request_id}")
    requested = await _load_requested(conn, tenant, [request_id])
    return _request_of(row, requested[request_id])


async def list_requests(
    conn: AsyncConnection, tenant: Tenant, *, customer_id: str, before: int | None, limit: int
) -> list[tuple[int, PaymentRequest]]:
    """Return payment requests older than the ordinal `before`, newest first, with ordinals."""
    query = select(payment_requests).filter_by(tenant=tenant)
    query = query.order_by(payment_requests.c.ordinal.desc()).limit(limit)
    if customer_id:
        query = query.where(payment_requests.c.customer_id == customer_id)
    if before is not None:
        query = query.where(payment_requests.c.ordinal < before)
    rows = (await conn.execute(query)).all()
    requested = await _load_requested(conn, tenant, [row.payment_request_id for row in rows])
    return [(row.ordinal, _request_of(row, requested[row.payment_request_id])) for row in rows]


async def _load_requested(
    conn: AsyncConnection, tenant: Tenant, request_ids: Collection[UUID]
) -> dict[UUID, list[Requested]]:
    """Return the invoices of payment requests; nothing is due of one that was voided."""
    part = payment_request_invoices
    joined = part.join(
        invoices,
        (invoices.c.tenant == part.c.tenant) & (invoices.c.invoice_id == part.c.invoice_id),
    ).join(receivables, OF_INVOICE)
    query = (
        select(part, invoices.c.number, invoices.c.status, receivables.c.due_minor)
        .select_from(joined)
        .where(part.c.tenant == tenant, among(part.c.payment_request_id, request_ids))
        .order_by(part.c.position)
    )
    found: dict[UUID, list[Requested]] = defaultdict(list)
    for row in await conn.execute(query):
        standing = row.status == Status.FINALIZED
        due = min(row.due_minor, row.requested_minor) if standing else 0
        one = Requested(row.invoice_id, row.number, row.requested_minor, due)
        found[row.payment_request_id].append(one)
    return found


def _request_of(row: Row[Any], requested: Sequence[Requested]) -> PaymentRequest:
    return PaymentRequest(
        payment_request_id=row.payment_request_id,
        customer_id=row.customer_id,
        amount=Money(row.currency, row.amount_minor),
        invoices=tuple(requested),
        step=row.step,
        created_at=row.created_at.astimezone(UTC),
    )
