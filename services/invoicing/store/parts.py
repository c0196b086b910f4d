"""Reading and writing what an invoice consists of, and the amounts that sum it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, Table, Update, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import Period
from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Content, Credit, Invoice, Status
from services.invoicing.domain.line import BreakdownRow, Fee, FeeKind, Line
from services.invoicing.domain.numbering import Sequence as NumberSequence
from services.invoicing.domain.tax import Tax, TaxAmount
from services.invoicing.store.coupon_schema import invoice_coupons
from services.invoicing.store.coupon_uses import columns_of_use, load_used
from services.invoicing.store.encoding import from_json, to_json
from services.invoicing.store.note_applications import load_applied
from services.invoicing.store.progressive_credits import load_shown
from services.invoicing.store.schema import (
    invoice_credits,
    invoice_lines,
    invoice_taxes,
    invoices,
    progressive_credits,
)
from services.invoicing.store.voidings import find_reissued, find_voidings


@dataclass(frozen=True, slots=True)
class Closed:
    """How a frozen invoice ends: finalized, with its places and its number, or skipped."""

    status: Status
    credits_minor: int
    dates: tuple[date, date]
    sequence: NumberSequence | None = None
    number: str | None = None


async def with_parts(
    conn: AsyncConnection, tenant: Tenant, bare: Collection[Invoice]
) -> list[Invoice]:
    """Return invoices with their lines, coupons, taxes and the credit notes that paid some."""
    invoice_ids = [invoice.invoice_id for invoice in bare]
    lines: dict[UUID, list[Line]] = {invoice_id: [] for invoice_id in invoice_ids}
    for row in await conn.execute(_parts_of(invoice_lines, tenant, invoice_ids)):
        lines[row.invoice_id].append(line_of(row))
    taxes: dict[UUID, list[TaxAmount]] = {invoice_id: [] for invoice_id in invoice_ids}
    for row in await conn.execute(_parts_of(invoice_taxes, tenant, invoice_ids)):
        taxes[row.invoice_id].append(tax_of(row))
    couponed = [one.invoice_id for one in bare if one.coupons_minor]
    coupons = await load_used(conn, tenant, couponed) if couponed else {}
    early = await load_shown(
        conn, tenant, [one.invoice_id for one in bare if one.progressive_credit_minor]
    )
    noted = [one.invoice_id for one in bare if one.credit_notes_minor]
    notes = await load_applied(conn, tenant, noted) if noted else {}
    voided = await find_voidings(conn, tenant, invoice_ids)
    again = await find_reissued(conn, tenant, invoice_ids)
    return [
        replace(
            one,
            lines=tuple(lines[one.invoice_id]),
            coupons=tuple(coupons.get(one.invoice_id, ())),
            taxes=tuple(taxes[one.invoice_id]),
            early=tuple(early.get(one.invoice_id, ())),
            notes=tuple(notes.get(one.invoice_id, ())),
            voiding=voided.get(one.invoice_id),
            reissue_of=again.get(one.invoice_id),
        )
        for one in bare
    ]


async def replace_contents(
    conn: AsyncConnection, tenant: Tenant, contents: Collection[tuple[Invoice, Content]]
) -> None:
    """Put contents on locked drafts, as of their revisions, in place of what they showed before."""
    invoice_ids = [invoice.invoice_id for invoice, _ in contents]
    for table in (invoice_lines, invoice_coupons, invoice_taxes, progressive_credits):
        which = among(table.c.invoice_id, invoice_ids)
        await conn.execute(delete(table).filter_by(tenant=tenant).where(which))
    lines: list[dict[str, Any]] = []
    coupons: list[dict[str, Any]] = []
    taxes: list[dict[str, Any]] = []
    early: list[dict[str, Any]] = []
    for invoice, content in contents:
        key = {"tenant": tenant, "invoice_id": invoice.invoice_id}
        for place, line in enumerate(content.lines):
            lines.append({**key, "position": place, **columns_of(line)})
        for place, use in enumerate(content.coupons):
            coupons.append({**key, "position": place, **columns_of_use(use)})
        for place, tax in enumerate(content.taxes):
            taxes.append({**key, "position": place, **columns_of_tax(tax)})
        for place, credit in enumerate(content.early):
            row = {"credited_invoice_id": credit.invoice_id, "amount_minor": credit.amount_minor}
            early.append({**key, "position": place, **row})
    written = (
        (invoice_lines, lines),
        (invoice_coupons, coupons),
        (invoice_taxes, taxes),
        (progressive_credits, early),
    )
    for table, rows in written:
        if rows:
            await conn.execute(insert(table), rows)
    await conn.execute(
        _update_each(tenant).values(
            coupons_minor=bindparam("coupons"),
            progressive_credit_minor=bindparam("early"),
            subtotal_minor=bindparam("subtotal"),
            default_tax_codes=bindparam("default_taxes"),
            tax_minor=bindparam("tax"),
            credit_notes_minor=bindparam("noted"),
            total_minor=bindparam("left"),
            refreshed_revision=bindparam("shown_revision"),
        ),
        [
            {
                "of_invoice": invoice.invoice_id,
                "coupons": content.coupons_minor,
                "early": content.progressive_credit_minor,
                "subtotal": content.subtotal_minor,
                "default_taxes": codes_or_null(content.default_tax_codes),
                "tax": content.tax_minor,
                "noted": content.credit_notes_minor,
                "left": content.gross_minor - content.credit_notes_minor,
                "shown_revision": invoice.revision,
            }
            for invoice, content in contents
        ],
    )


async def freeze(conn: AsyncConnection, tenant: Tenant, frozen: Collection[Invoice]) -> None:
    """Set locked drafts finalizing: from now on their lines, taxes and parties stand."""
    await conn.execute(
        _update_each(tenant).values(
            status=Status.FINALIZING,
            content_hash=bindparam("digest"),
            trace_id=bindparam("trace"),
            seller=bindparam("seller_today"),
            buyer=bindparam("buyer_today"),
        ),
        [
            {
                "of_invoice": invoice.invoice_id,
                "digest": invoice.content_hash,
                "trace": invoice.trace_id,
                "seller_today": to_json(invoice.seller),
                "buyer_today": to_json(invoice.buyer),
            }
            for invoice in frozen
        ],
    )


async def save_credits(
    conn: AsyncConnection, tenant: Tenant, credits: Mapping[UUID, Sequence[Credit]]
) -> None:
    """Store what wallets paid, and each line's part of it, on locked frozen invoices."""
    rows: list[dict[str, Any]] = []
    of_lines: Counter[tuple[UUID, UUID]] = Counter()
    for invoice_id, of_invoice in credits.items():
        for place, credit in enumerate(of_invoice):
            key = {"tenant": tenant, "invoice_id": invoice_id, "position": place}
            rows.append({**key, **to_row(credit)})
            of_lines[invoice_id, credit.line_id] += credit.amount_minor
    if not rows:
        return
    await conn.execute(insert(invoice_credits), rows)
    await conn.execute(
        update(invoice_lines)
        .filter_by(tenant=tenant)
        .where(
            invoice_lines.c.invoice_id == bindparam("of_invoice"),
            invoice_lines.c.line_id == bindparam("of_line"),
        )
        .values(credits_minor=bindparam("paid_minor")),
        [
            {"of_invoice": invoice_id, "of_line": line_id, "paid_minor": paid}
            for (invoice_id, line_id), paid in of_lines.items()
        ],
    )


async def leave_open(conn: AsyncConnection, tenant: Tenant, credited: Mapping[UUID, int]) -> None:
    """Set frozen invoices open, of which wallets paid so much: they wait for the rest."""
    if credited:
        await conn.execute(
            _update_each(tenant).values(
                status=Status.OPEN,
                credits_minor=bindparam("paid"),
                total_minor=invoices.c.total_minor - bindparam("paid"),
            ),
            [{"of_invoice": one, "paid": paid} for one, paid in credited.items()],
        )


async def close(
    conn: AsyncConnection, tenant: Tenant, closed: Mapping[UUID, Closed], *, finalized_at: datetime
) -> None:
    """Set frozen or open invoices finalized, with their numbers, or skipped, without one."""
    if not closed:
        return
    await conn.execute(
        _update_each(tenant).values(
            status=bindparam("new_status"),
            number=bindparam("new_number"),
            entity_sequence=bindparam("of_entity"),
            customer_sequence=bindparam("of_customer"),
            credits_minor=bindparam("paid"),
            total_minor=invoices.c.total_minor + invoices.c.credits_minor - bindparam("paid"),
            issue_date=bindparam("issued"),
            due_date=bindparam("due"),
            finalized_at=finalized_at,
        ),
        [
            {
                "of_invoice": invoice_id,
                "new_status": one.status,
                "new_number": one.number,
                "of_entity": one.sequence and one.sequence.of_entity,
                "of_customer": one.sequence and one.sequence.of_customer,
                "paid": one.credits_minor,
                "issued": one.dates[0],
                "due": one.dates[1],
            }
            for invoice_id, one in closed.items()
        ],
    )


def _update_each(tenant: Tenant) -> Update:
    """Return an update of the invoice that each row of parameters names as `of_invoice`."""
    which = invoices.c.invoice_id == bindparam("of_invoice")
    return update(invoices).filter_by(tenant=tenant).where(which)


def _parts_of(table: Table, tenant: Tenant, invoice_ids: Collection[UUID]) -> Select[Any]:
    query = select(table).filter_by(tenant=tenant)
    return query.where(among(table.c.invoice_id, invoice_ids)).order_by(table.c.position)


def codes_or_null(codes: Collection[str] | None) -> list[str] | None:
    return None if codes is None else list(codes)


def to_row(credit: Credit) -> dict[str, Any]:
    return {
        "line_id": credit.line_id,
        "wallet_id": credit.wallet_id,
        "grant_id": credit.grant_id,
        "amount_minor": credit.amount_minor,
        "captured": credit.captured,
    }


def columns_of_tax(tax: TaxAmount) -> dict[str, Any]:
    return {
        "tax_code": tax.tax.code,
        "name": tax.tax.name,
        "rate_percent": tax.tax.rate_percent,
        "base_minor": tax.base_minor,
        "amount_minor": tax.amount_minor,
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
        "coupons_minor": line.coupons_minor,
        "tax_codes": list(line.tax_codes),
        "progressive_credit_minor": line.progressive_credit_minor,
        "tax_share_minor": line.tax_share_minor,
        "credit_notes_minor": line.credit_notes_minor,
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
        "group_values": to_json(fee.group_values),
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
        group_values=from_json(row.group_values, tuple[tuple[str, str], ...]),
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
        coupons_minor=row.coupons_minor,
        tax_codes=tuple(row.tax_codes),
        progressive_credit_minor=row.progressive_credit_minor,
        tax_share_minor=row.tax_share_minor,
        credit_notes_minor=row.credit_notes_minor,
        credits_minor=row.credits_minor,
    )


def tax_of(row: Row[Any]) -> TaxAmount:
    tax = Tax(row.tax_code, row.name, row.rate_percent)
    return TaxAmount(tax, row.base_minor, row.amount_minor)
