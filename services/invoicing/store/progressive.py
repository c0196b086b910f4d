"""Which progressive invoices billed periods, and which invoices wait for one of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Kind, Status
from services.invoicing.store.schema import invoice_periods, invoices

PROGRESSIVE = "progressive "
# As the index invoices_progressive_unfinished says it: parameters would keep any plan from it.
UNFINISHED = "older.kind = 'progressive' AND older.status IN ('draft', 'finalizing')"


def progressive_purpose(sequence: int) -> str:
    """Return the purpose of a period whose usage an invoice bills before it ends."""
    return f"{PROGRESSIVE}{sequence}"


async def find_progressive(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, dict[str, UUID]]:
    """Return the live progressive invoices of periods: by period, then by purpose."""
    query = (
        select(invoice_periods.c.period_id, invoice_periods.c.purpose, invoice_periods.c.invoice_id)
        .filter_by(tenant=tenant, live=True)
        .where(
            among(invoice_periods.c.period_id, period_ids),
            invoice_periods.c.purpose.startswith(PROGRESSIVE),
        )
    )
    found: dict[UUID, dict[str, UUID]] = {}
    for row in await conn.execute(query):
        found.setdefault(row.period_id, {})[row.purpose] = row.invoice_id
    return found


async def find_early(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, list[UUID]]:
    """Return the live progressive invoices that are closed, oldest first, by period."""
    query = (
        select(invoice_periods.c.period_id, invoice_periods.c.invoice_id)
        .join(invoices, _of_invoice())
        .where(
            invoice_periods.c.tenant == tenant,
            invoice_periods.c.live,
            among(invoice_periods.c.period_id, period_ids),
            invoices.c.kind == Kind.PROGRESSIVE,
            invoices.c.status.in_([Status.FINALIZED, Status.SKIPPED]),
        )
        .order_by(invoices.c.ordinal)
    )
    found: dict[UUID, list[UUID]] = {}
    for row in await conn.execute(query):
        found.setdefault(row.period_id, []).append(row.invoice_id)
    return found


def waiting() -> Select[Any]:
    """Select the tenants and ids of invoices that wait for an older one to be closed.

    That is a progressive one of the same period, which they credit.
    """
    older, its_period = invoices.alias("older"), invoice_periods.alias("its_period")
    younger, same_period = invoices.alias("younger"), invoice_periods.alias("same_period")
    return (
        select(younger.c.tenant, younger.c.invoice_id)
        .select_from(older)
        .join(
            its_period,
            and_(
                its_period.c.tenant == older.c.tenant, its_period.c.invoice_id == older.c.invoice_id
            ),
        )
        .join(
            same_period,
            and_(
                same_period.c.tenant == its_period.c.tenant,
                same_period.c.period_id == its_period.c.period_id,
            ),
        )
        .join(
            younger,
            and_(
                younger.c.tenant == same_period.c.tenant,
                younger.c.invoice_id == same_period.c.invoice_id,
            ),
        )
        .where(text(UNFINISHED), younger.c.ordinal > older.c.ordinal)
    )


def is_waiting() -> Any:
    """Return whether an invoice waits for an older one to be closed."""
    return tuple_(invoices.c.tenant, invoices.c.invoice_id).in_(waiting())


def _of_invoice() -> Any:
    return and_(
        invoices.c.tenant == invoice_periods.c.tenant,
        invoices.c.invoice_id == invoice_periods.c.invoice_id,
    )
