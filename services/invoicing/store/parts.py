"""Reading and writing what an invoice consists of, and the amounts that sum it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import Period
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Content, Credit, Invoice, Status
from services.invoicing.domain.line import BreakdownRow, Fee, FeeKind, Line
from services.invoicing.domain.numbering import Sequence as NumberSequence
from services.invoicing.domain.tax import Tax, TaxAmount
from services.invoicing.store.encoding import from_json, to_json
from services.invoicing.store.schema import (
    invoice_credits,
    invoice_lines,
    invoice_taxes,
    invoices,
)


async def with_parts(conn: AsyncConnection, tenant: Tenant, invoice: Invoice) -> Invoice:
    """Return `invoice` with its lines and taxes."""
    key = {"tenant": tenant, "invoice_id": invoice.invoice_id}
    lines = select(invoice_lines).filter_by(**key).order_by(invoice_lines.c.position)
    taxes = select(invoice_taxes).filter_by(**key).order_by(invoice_taxes.c.position)
    return replace(
        invoice,
        lines=tuple(line_of(row) for row in await conn.execute(lines)),
        taxes=tuple(tax_of(row) for row in await conn.execute(taxes)),
    )


async def replace_content(
    conn: AsyncConnection, tenant: Tenant, invoice: Invoice, content: Content
) -> None:
    """Put `content` on a locked draft, as of its revision, in place of what it showed before."""
    key = {"tenant": tenant, "invoice_id": invoice.invoice_id}
    await conn.execute(delete(invoice_lines).filter_by(**key))
    await conn.execute(delete(invoice_taxes).filter_by(**key))
    if content.lines:
        rows = [columns_of(line) for line in content.lines]
        placed = [{**key, **row, "position": place} for place, row in enumerate(rows)]
        await conn.execute(insert(invoice_lines), placed)
    if content.taxes:
        await conn.execute(
            insert(invoice_taxes),
            [
                {
                    **key,
                    "position": place,
                    "tax_code": tax.tax.code,
                    "name": tax.tax.name,
                    "rate_percent": tax.tax.rate_percent,
                    "base_minor": tax.base_minor,
                    "amount_minor": tax.amount_minor,
                }
                for place, tax in enumerate(content.taxes)
            ],
        )
    await conn.execute(
        update(invoices)
        .filter_by(**key)
        .values(
            subtotal_minor=content.subtotal_minor,
            tax_minor=content.tax_minor,
            total_minor=content.gross_minor,
            refreshed_revision=invoice.revision,
        )
    )


async def freeze(
    conn: AsyncConnection, tenant: Tenant, invoice: Invoice, *, content_hash: bytes, trace_id: str
) -> None:
    """Set a locked draft finalizing: from now on its lines, taxes and parties stand."""
    await conn.execute(
        update(invoices)
        .filter_by(tenant=tenant, invoice_id=invoice.invoice_id)
        .values(
            status=Status.FINALIZING,
            content_hash=content_hash,
            trace_id=trace_id,
            seller=to_json(invoice.seller),
            buyer=to_json(invoice.buyer),
        )
    )


async def save_credits(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, credits: Sequence[Credit]
) -> None:
    """Store what wallets paid, and each line's part of it, on a locked frozen invoice."""
    if not credits:
        return
    key = {"tenant": tenant, "invoice_id": invoice_id}
    await conn.execute(
        insert(invoice_credits),
        [{**key, **to_row(credit), "position": place} for place, credit in enumerate(credits)],
    )
    of_line: Counter[UUID] = Counter()
    for credit in credits:
        of_line[credit.line_id] += credit.amount_minor
    await conn.execute(
        update(invoice_lines)
        .filter_by(**key)
        .where(invoice_lines.c.line_id == bindparam("of_line"))
        .values(credits_minor=bindparam("paid_minor")),
        [{"of_line": line_id, "paid_minor": paid} for line_id, paid in of_line.items()],
    )


async def close(
    conn: AsyncConnection,
    tenant: Tenant,
    invoice_id: UUID,
    *,
    status: Status,
    credits_minor: int,
    dates: tuple[date, date],
    finalized_at: datetime,
    sequence: NumberSequence | None = None,
    number: str | None = None,
) -> None:
    """Set a frozen invoice finalized, with its number, or skipped, without one."""
    issue_date, due_date = dates
    await conn.execute(
        update(invoices)
        .filter_by(tenant=tenant, invoice_id=invoice_id)
        .values(
            status=status,
            number=number,
            entity_sequence=sequence and sequence.of_entity,
            customer_sequence=sequence and sequence.of_customer,
            credits_minor=credits_minor,
            total_minor=invoices.c.subtotal_minor + invoices.c.tax_minor - credits_minor,
            issue_date=issue_date,
            due_date=due_date,
            finalized_at=finalized_at,
        )
    )


def to_row(credit: Credit) -> dict[str, Any]:
    return {
        "line_id": credit.line_id,
        "wallet_id": credit.wallet_id,
        "grant_id": credit.grant_id,
        "amount_minor": credit.amount_minor,
        "captured": credit.captured,
    }


def columns_of(line: Line) -> dict[str, Any]:
    fee = line.fee
    return {
        "line_id": line.line_id,
        "fee_kind": fee.kind,
        "adjustment_sequence": line.adjustment_sequence,
        "charge_code": fee.charge_code,
        "filter_code": fee.filter_code,
        "meter_code": fee.meter_code,
        "description": fee.description,
        "units": fee.units,
        "event_count": fee.event_count,
        "exact_amount": fee.exact_amount,
        "amount_minor": fee.amount_minor,
        "tax_share_minor": line.tax_share_minor,
        "credits_minor": line.credits_minor,
        "period_id": line.period_id,
        "period_start": line.period.start,
        "period_end": line.period.end,
        "first_day": line.first_day,
        "end_day": line.end_day,
        "time_zone": line.time_zone,
        "subscription_id": line.subscription_id,
        "plan_code": line.plan_code,
        "plan_version": line.plan_version,
        "breakdown": to_json(fee.breakdown),
        "trace_id": line.trace_id,
    }


def line_of(row: Row[Any]) -> Line:
    fee = Fee(
        kind=FeeKind(row.fee_kind),
        charge_code=row.charge_code,
        filter_code=row.filter_code,
        meter_code=row.meter_code,
        description=row.description,
        units=row.units,
        event_count=row.event_count,
        exact_amount=row.exact_amount,
        amount_minor=row.amount_minor,
        breakdown=from_json(row.breakdown, tuple[BreakdownRow, ...]),
    )
    return Line(
        line_id=row.line_id,
        fee=fee,
        period_id=row.period_id,
        adjustment_sequence=row.adjustment_sequence,
        subscription_id=row.subscription_id,
        plan_code=row.plan_code,
        plan_version=row.plan_version,
        period=Period(row.period_start.astimezone(UTC), row.period_end.astimezone(UTC)),
        first_day=row.first_day,
        end_day=row.end_day,
        time_zone=row.time_zone,
        trace_id=row.trace_id,
        tax_share_minor=row.tax_share_minor,
        credits_minor=row.credits_minor,
    )


def tax_of(row: Row[Any]) -> TaxAmount:
    tax = Tax(row.tax_code, row.name, row.rate_percent)
    return TaxAmount(tax, row.base_minor, row.amount_minor)
