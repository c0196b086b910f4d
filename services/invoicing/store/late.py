"""Late usage of closed periods, and the adjustments that bill it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.store.encoding import from_json, to_json
from services.invoicing.store.schema import adjustments, late_periods


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The `sequence`-th adjustment of a period; `rated` is None until rating has answered."""

    period_id: UUID
    sequence: int
    rated: RatedPeriod | None


async def note_late_usage(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    period_id: UUID,
    customer_id: str,
    currency: str,
    late_version: int,
) -> None:
    """Remember that a closed period's usage changed; an older version changes nothing."""
    row = insert(late_periods).values(
        tenant=tenant,
        period_id=period_id,
        customer_id=customer_id,
        currency=currency,
        late_version=late_version,
    )
    newest = func.greatest(late_periods.c.late_version, row.excluded.late_version)
    await conn.execute(
        row.on_conflict_do_update(
            index_elements=["tenant", "period_id"], set_={"late_version": newest}
        )
    )


async def claim_adjustments(
    conn: AsyncConnection, tenant: Tenant, invoice: Invoice
) -> list[Adjustment]:
    """Give the locked draft `invoice` what its customer's late usage still owes, or is owed.

    Returns all that it has claimed, now or in an attempt before: so a retry asks rating for the
    same sequences. What another unfinished invoice asks for is left to it.
    """
    of_customer = {
        "tenant": tenant,
        "customer_id": invoice.customer_id,
        "currency": invoice.currency,
    }
    late = select(late_periods).filter_by(**of_customer).order_by(late_periods.c.period_id)
    periods = (await conn.execute(late.with_for_update())).all()
    if not periods:
        return []
    known = (await conn.execute(select(adjustments).filter_by(**of_customer))).all()
    asked = {row.period_id for row in known if row.rated is None}
    fresh = [
        row
        for row in periods
        if row.late_version > row.adjusted_version and row.period_id not in asked
    ]
    await conn.execute(
        update(adjustments)
        .filter_by(**of_customer, invoice_id=None)
        .values(invoice_id=invoice.invoice_id)
    )
    if fresh:
        await ask(conn, of_customer, invoice.invoice_id, fresh)
    return await load_claimed(conn, tenant, invoice.invoice_id)


async def load_claimed(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID) -> list[Adjustment]:
    """Return the adjustments that an invoice has claimed, by period and sequence."""
    mine = select(adjustments).filter_by(tenant=tenant, invoice_id=invoice_id)
    order = mine.order_by(adjustments.c.period_id, adjustments.c.sequence)
    return [adjustment_of(row) for row in await conn.execute(order)]


async def ask(
    conn: AsyncConnection, of_customer: dict[str, Any], invoice_id: UUID, periods: list[Row[Any]]
) -> None:
    """Write down the next adjustment of each period, before rating is asked for it."""
    await conn.execute(
        update(late_periods)
        .filter_by(tenant=of_customer["tenant"])
        .where(late_periods.c.period_id.in_([row.period_id for row in periods]))
        .values(last_sequence=late_periods.c.last_sequence + 1)
    )
    await conn.execute(
        insert(adjustments),
        [
            {
                **of_customer,
                "period_id": row.period_id,
                "sequence": row.last_sequence + 1,
                "invoice_id": invoice_id,
            }
            for row in periods
        ],
    )


async def save_adjustments(
    conn: AsyncConnection,
    tenant: Tenant,
    rated: Sequence[RatedPeriod],
    *,
    invoice_id: UUID | None,
) -> None:
    """Store rating's answers; with `invoice_id` None they wait for the customer's next invoice."""
    if not rated:
        return
    answers = [
        {
            "of_period": one.period_id,
            "of_sequence": one.sequence,
            "answer": to_json(one),
            "covered": one.late_version,
        }
        for one in rated
    ]
    await conn.execute(
        update(adjustments)
        .filter_by(tenant=tenant)
        .where(
            adjustments.c.period_id == bindparam("of_period"),
            adjustments.c.sequence == bindparam("of_sequence"),
        )
        .values(rated=bindparam("answer"), invoice_id=invoice_id),
        answers,
    )
    version = func.greatest(late_periods.c.adjusted_version, bindparam("covered"))
    await conn.execute(
        update(late_periods)
        .filter_by(tenant=tenant)
        .where(late_periods.c.period_id == bindparam("of_period"))
        .values(adjusted_version=version),
        answers,
    )


def adjustment_of(row: Row[Any]) -> Adjustment:
    rated = None if row.rated is None else from_json(row.rated, RatedPeriod)
    return Adjustment(row.period_id, row.sequence, rated)
