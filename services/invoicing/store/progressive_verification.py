"""Whether what progressive invoices billed was credited or given back as the period ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.difference import Difference, compared
from services.invoicing.domain.credit_note import NoteStatus
from services.invoicing.domain.invoice import Status
from services.invoicing.store.invoices import CLOSE
from services.invoicing.store.note_schema import credit_note_items, credit_notes
from services.invoicing.store.progressive import PROGRESSIVE
from services.invoicing.store.schema import invoice_lines, invoice_periods, invoices

BROKEN_MAX = 1_000


async def find_progressive_faults(conn: AsyncConnection) -> list[Difference]:
    """Return periods whose invoice credits less or more than progressive ones billed of them.

    Notes that were made for another reason may have given back some of it before, or after.
    """
    early, closed = _early().cte("early"), _closed().cte("closed")
    own = early.c.billed - early.c.given_back
    query = (
        select(early, closed.c.credited)
        .join(
            closed,
            and_(closed.c.tenant == early.c.tenant, closed.c.period_id == early.c.period_id),
        )
        .where((closed.c.credited > own) | (closed.c.credited < own - early.c.noted))
        .order_by(early.c.tenant, early.c.period_id)
        .limit(BROKEN_MAX)
    )
    return [
        one
        for row in await conn.execute(query)
        for one in compared(
            row.tenant,
            "billed early",
            {"period_id": str(row.period_id)},
            progressive_credit_minor=(row.credited, row.billed - row.given_back),
        )
    ]


def _early() -> Any:
    """Select what progressive invoices billed of each period, and what notes gave back of it."""
    items = credit_note_items.join(
        credit_notes,
        and_(
            credit_notes.c.tenant == credit_note_items.c.tenant,
            credit_notes.c.credit_note_id == credit_note_items.c.credit_note_id,
        ),
    )
    of_line = and_(
        credit_note_items.c.tenant == invoice_lines.c.tenant,
        credit_note_items.c.invoice_id == invoice_lines.c.invoice_id,
        credit_note_items.c.line_id == invoice_lines.c.line_id,
    )
    crediting = credit_notes.c.crediting_invoice_id.is_not(None)
    standing = credit_notes.c.status != NoteStatus.VOIDED
    sums = [
        select(func.coalesce(func.sum(credit_note_items.c.amount_minor), 0))
        .select_from(items)
        .where(of_line, which)
        .scalar_subquery()
        for which in (and_(crediting, standing), ~crediting)
    ]
    net = invoice_lines.c.amount_minor - invoice_lines.c.progressive_credit_minor
    lines = (
        select(
            invoice_lines.c.tenant,
            invoice_lines.c.period_id,
            net.label("net"),
            sums[0].label("given_back"),
            sums[1].label("noted"),
        )
        .select_from(_billed_lines())
        .where(
            invoice_periods.c.purpose.startswith(PROGRESSIVE),
            invoices.c.status.in_([Status.FINALIZED, Status.SKIPPED]),
        )
        .subquery("lines")
    )
    return select(
        lines.c.tenant,
        lines.c.period_id,
        func.sum(lines.c.net).label("billed"),
        func.sum(lines.c.given_back).label("given_back"),
        func.sum(lines.c.noted).label("noted"),
    ).group_by(lines.c.tenant, lines.c.period_id)


def _closed() -> Any:
    """Select what the frozen invoice of each ended period credits; it may have no lines of it."""
    of_period = and_(
        invoice_lines.c.tenant == invoice_periods.c.tenant,
        invoice_lines.c.invoice_id == invoice_periods.c.invoice_id,
        invoice_lines.c.period_id == invoice_periods.c.period_id,
    )
    credited = func.coalesce(func.sum(invoice_lines.c.progressive_credit_minor), 0)
    return (
        select(invoice_periods.c.tenant, invoice_periods.c.period_id, credited.label("credited"))
        .select_from(
            invoice_periods.join(invoices, _of_invoice()).outerjoin(invoice_lines, of_period)
        )
        .where(
            invoice_periods.c.live,
            invoice_periods.c.purpose == CLOSE,
            invoices.c.status != Status.DRAFT,
        )
        .group_by(invoice_periods.c.tenant, invoice_periods.c.period_id)
    )


def _billed_lines() -> Any:
    of_period = and_(
        invoice_lines.c.tenant == invoice_periods.c.tenant,
        invoice_lines.c.invoice_id == invoice_periods.c.invoice_id,
        invoice_lines.c.period_id == invoice_periods.c.period_id,
    )
    return invoice_periods.join(invoices, _of_invoice()).join(invoice_lines, of_period)


def _of_invoice() -> Any:
    return and_(
        invoices.c.tenant == invoice_periods.c.tenant,
        invoices.c.invoice_id == invoice_periods.c.invoice_id,
        invoice_periods.c.live,
    )
