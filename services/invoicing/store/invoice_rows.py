"""Rows of invoices as what they stand for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, select

from libs.period import Period
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice, Kind, Status
from services.invoicing.domain.party import Entities, Party, seller_of
from services.invoicing.store import parties
from services.invoicing.store.encoding import from_json
from services.invoicing.store.party_schema import customers
from services.invoicing.store.payment_schema import receivables
from services.invoicing.store.receivables import OF_INVOICE, RECEIVABLE, receivable_of
from services.invoicing.store.schema import invoices


def with_customer(tenant: Tenant) -> Select[Any]:
    """Return the query of invoices with the present state of their customers and payments."""
    joined = invoices.join(
        customers,
        (customers.c.tenant == invoices.c.tenant)
        & (customers.c.customer_id == invoices.c.customer_id),
    ).outerjoin(receivables, OF_INVOICE)
    query = select(invoices, *parties.buyer_columns(), *RECEIVABLE).select_from(joined)
    return query.where(invoices.c.tenant == tenant)


def read_invoice(row: Row[Any], entities: Entities) -> Invoice:
    """Return the invoice in a row of `with_customer`; a draft's parties are those of today."""
    return Invoice(
        invoice_id=row.invoice_id,
        kind=Kind(row.kind),
        alone=row.alone,
        status=Status(row.status),
        customer_id=row.customer_id,
        currency=row.currency,
        entity_code=row.entity_code,
        group_day=row.group_day,
        time_zone=row.time_zone,
        finalize_at=row.finalize_at.astimezone(UTC),
        created_at=row.created_at.astimezone(UTC),
        number=row.number or "",
        coupons_minor=row.coupons_minor,
        progressive_credit_minor=row.progressive_credit_minor,
        subtotal_minor=row.subtotal_minor,
        tax_minor=row.tax_minor,
        credit_notes_minor=row.credit_notes_minor,
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
        requires_payment=row.requires_payment,
        trace_headers=row.trace_headers,
        seller=(
            from_json(row.seller, Party)
            if row.seller
            else seller_of(entities.named(row.entity_code))
        ),
        buyer=from_json(row.buyer, Party) if row.buyer else parties.buyer_today(row),
        receivable=receivable_of(row),
    )


def period_of(start: datetime | None, end: datetime | None) -> Period | None:
    if start is None or end is None:
        return None
    return Period(start.astimezone(UTC), end.astimezone(UTC))
