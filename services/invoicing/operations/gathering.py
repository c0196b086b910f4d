"""What became of late usage: asked of rating, then credit notes or lines of a next invoice.

Two transactions with questions to rating between them, like finalizing. What is asked is written
down first, so whoever repeats it asks for the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.operations.crediting import credit_adjustments
from services.invoicing.store import gathering, late, voidings
from services.invoicing.store.late import Adjustment, Outcome


async def gather(
    engine: AsyncEngine, tenant: Tenant, customer_id: str, currency: str, *, now: datetime
) -> list[Adjustment]:
    """Write down what to ask of a customer's late usage, and return all that is undecided."""
    async with begin(engine, tenant) as conn:
        of_customer = {"tenant": tenant, "customer_id": customer_id, "currency": currency}
        due = await gathering.lock_due(conn, of_customer, now=now)
        fresh = await late.find_fresh(conn, of_customer, due)
        ids = [[row.period_id for row in each] for each in (due, fresh)]
        await gathering.mark_gathered(conn, tenant, *ids, now=now)
        if fresh:
            await late.ask(conn, of_customer, fresh, invoice_id=None)
        return await gathering.load_undecided(conn, of_customer)


async def settle(
    engine: AsyncEngine, tenant: Tenant, rated: Sequence[RatedPeriod], *, now: datetime
) -> None:
    """Decide what becomes of rating's answers, save those that an invoice has claimed meanwhile."""
    async with begin(engine, tenant) as conn:
        period_ids = {one.period_id for one in rated}
        await gathering.lock_late(conn, tenant, period_ids)
        mine = await gathering.load_still_undecided(conn, tenant, period_ids)
        undecided = [one for one in rated if (one.period_id, one.sequence) in mine]
        lines = await decide_adjustments(conn, tenant, undecided, now=now)
        await late.save_adjustments(conn, tenant, lines, now=now)


async def decide_adjustments(
    conn: AsyncConnection,
    tenant: Tenant,
    adjusted: Sequence[RatedPeriod],
    *,
    now: datetime,
    freezing: Collection[UUID] = (),
) -> list[RatedPeriod]:
    """Make credit notes of those below zero, and return those that are to be billed.

    Those of a period that only a voided invoice billed wait for one that bills it again. Their late
    periods are locked.
    """
    freed = await voidings.find_freed(conn, tenant, {one.period_id for one in adjusted})
    waiting = [one for one in adjusted if one.period_id in freed]
    await late.save_adjustments(conn, tenant, waiting, now=now, outcome=None)
    adjusted = [one for one in adjusted if one.period_id not in freed]
    negative = [one for one in adjusted if one.amount_minor < 0]
    decided = await credit_adjustments(conn, tenant, negative, now=now, freezing=freezing)
    for one, covered in decided.notes:
        await late.save_adjustments(
            conn,
            tenant,
            [one],
            now=now,
            outcome=Outcome.NOTE,
            covered={one.period_id: covered},
        )
    await late.save_adjustments(conn, tenant, decided.waiting, now=now, outcome=None)
    return [one for one in adjusted if one.amount_minor >= 0] + decided.lines
