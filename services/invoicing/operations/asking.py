"""Asking for the payment of invoices, from the moment on that they are finalized or left open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice
from services.invoicing.store import payment_methods, receivables


async def ask_for_payment(
    conn: AsyncConnection, tenant: Tenant, asking: Sequence[Invoice], *, now: datetime
) -> list[Invoice]:
    """Have the payment methods of those charged that ask for the first time and have one.

    Returns the invoices with what they ask for.
    """
    payers = await payment_methods.find_methods(conn, tenant, {one.customer_id for one in asking})
    asked: list[Invoice] = []
    for invoice in asking:
        receivable = invoice.asks_for
        if not invoice.receivable and receivable.due_minor and invoice.customer_id in payers:
            receivable = replace(receivable, charge_at=now)
        asked.append(replace(invoice, receivable=receivable))
    await receivables.save_receivables(conn, tenant, [one.asks_for for one in asked])
    return asked
