"""Top-ups: their rows, and what rules want to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.wallet.domain.top_up import Amounts, TopUp, TopUpNotFound, TopUpStatus
from services.wallet.store.top_up_schema import top_ups

RECENT = timedelta(days=32)  # More than a month, and than any pause after a declined payment.


def top_up_of(row: Row[Any]) -> TopUp:
    """Read a top-up's row."""
    return TopUp(
        top_up_id=row.top_up_id,
        wallet_id=row.wallet_id,
        currency=row.currency,
        amounts=Amounts(row.paid_minor, row.granted_minor),
        requires_payment=row.requires_payment,
        created_at=row.created_at,
        rule_id=row.rule_id,
        occasion=row.occasion or "",
        status=TopUpStatus(row.status),
        closed_at=row.closed_at,
        number=row.number,
    )


async def insert_top_ups(conn: AsyncConnection, tenant: Tenant, made: Sequence[TopUp]) -> None:
    """Store new top-ups; the database numbers them. Their wallets are locked by `conn`."""
    rows = [
        {
            "tenant": tenant,
            "top_up_id": one.top_up_id,
            "wallet_id": one.wallet_id,
            "currency": one.currency,
            "paid_minor": one.amounts.paid_minor,
            "granted_minor": one.amounts.granted_minor,
            "requires_payment": one.requires_payment,
            "status": one.status,
            "rule_id": one.rule_id,
            "occasion": one.occasion or None,
            "created_at": one.created_at,
            "closed_at": one.closed_at,
        }
        for one in made
    ]
    if rows:
        await conn.execute(insert(top_ups), rows)


async def save_top_ups(conn: AsyncConnection, tenant: Tenant, changed: Sequence[TopUp]) -> None:
    """Write what became of top-ups. Their wallets are locked by `conn`."""
    if changed:
        await conn.execute(
            update(top_ups)
            .where(top_ups.c.tenant == tenant, top_ups.c.top_up_id == bindparam("changed"))
            .values(status=bindparam("now_is"), closed_at=bindparam("since")),
            [
                {"changed": one.top_up_id, "now_is": one.status, "since": one.closed_at}
                for one in changed
            ],
        )


async def load_top_ups(
    conn: AsyncConnection, tenant: Tenant, top_up_ids: Sequence[UUID]
) -> dict[UUID, TopUp]:
    """Return top-ups by their ids. To change them, lock their wallets before.

    Raises:
        TopUpNotFound: the tenant lacks one of them.
    """
    query = select(top_ups).filter_by(tenant=tenant)
    rows = await conn.execute(query.where(among(top_ups.c.top_up_id, top_up_ids)))
    found = {row.top_up_id: top_up_of(row) for row in rows}
    for top_up_id in top_up_ids:
        if top_up_id not in found:
            raise TopUpNotFound(f"there is no top-up {top_up_id}")
    return found


async def load_recent(
    conn: AsyncConnection, tenant: Tenant, wallet_id: UUID, now: datetime
) -> list[TopUp]:
    """Return the top-ups of a wallet that its rules look at: pending, or not a month old."""
    query = select(top_ups).filter_by(tenant=tenant, wallet_id=wallet_id)
    recent = or_(
        top_ups.c.closed_at.is_(None),
        top_ups.c.created_at > now - RECENT,
        top_ups.c.closed_at > now - RECENT,
    )
    return [top_up_of(row) for row in await conn.execute(query.where(recent))]


async def list_top_ups(
    conn: AsyncConnection,
    tenant: Tenant,
    wallet_id: UUID,
    *,
    status: TopUpStatus | None,
    before: int | None,
    limit: int,
) -> Sequence[TopUp]:
    """Return a wallet's top-ups, newest first, from below the number `before`."""
    query = select(top_ups).filter_by(tenant=tenant, wallet_id=wallet_id)
    if status is not None:
        query = query.filter_by(status=status)
    if before is not None:
        query = query.where(top_ups.c.number < before)
    rows = await conn.execute(query.order_by(top_ups.c.number.desc()).limit(limit))
    return [top_up_of(row) for row in rows]
