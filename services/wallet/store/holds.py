"""Holds with what they reserve of each grant, and lots of captured money."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from services.wallet.domain.hold import Hold, HoldNotFound, HoldStatus, Lot
from services.wallet.domain.ledger import Use
from services.wallet.store.schema import hold_parts, holds, lots


async def load_hold(conn: AsyncConnection, tenant: Tenant, hold_id: str) -> Hold:
    """Read a hold. To change it, lock its wallet before.

    Raises:
        HoldNotFound: the tenant has no such hold.
    """
    found = await _load(conn, tenant, holds.c.hold_id == hold_id)
    if not found:
        raise HoldNotFound(f"there is no hold {hold_id}")
    return found[0]


async def find_due(
    conn: AsyncConnection, tenant: Tenant, wallet_ids: Sequence[UUID], now: datetime
) -> list[Hold]:
    """Return the open holds of locked wallets whose deadline has passed."""
    due = holds.c.wallet_id.in_(wallet_ids) & (holds.c.expires_at <= now)
    return await _load(conn, tenant, due & (holds.c.status == HoldStatus.OPEN.value))


async def insert_hold(conn: AsyncConnection, tenant: Tenant, hold: Hold) -> None:
    """Store a new hold. Its wallet is locked by `conn`."""
    await conn.execute(
        insert(holds).values(
            tenant=tenant,
            hold_id=hold.hold_id,
            wallet_id=hold.wallet_id,
            subscription_id=hold.subscription_id,
            currency=hold.amount.currency,
            amount_minor=hold.amount.amount_minor,
            captured_minor=hold.captured_minor,
            status=hold.status.value,
            expires_at=hold.expires_at,
            created_at=hold.created_at,
        )
    )
    await _insert_parts(conn, tenant, [hold])


async def save_holds(conn: AsyncConnection, tenant: Tenant, changed: Sequence[Hold]) -> None:
    """Write holds after a change. Their wallets are locked by `conn`."""
    if not changed:
        return
    await conn.execute(
        update(holds)
        .where(holds.c.tenant == tenant, holds.c.hold_id == bindparam("changed"))
        .values(status=bindparam("now"), captured_minor=bindparam("captured")),
        [
            {"changed": hold.hold_id, "now": hold.status.value, "captured": hold.captured_minor}
            for hold in changed
        ],
    )
    ids = [hold.hold_id for hold in changed]
    await conn.execute(
        delete(hold_parts).where(hold_parts.c.tenant == tenant, hold_parts.c.hold_id.in_(ids))
    )
    await _insert_parts(conn, tenant, changed)


async def add_lots(conn: AsyncConnection, tenant: Tenant, captured: Sequence[Lot]) -> None:
    """Store what was captured; more of the same hold, grant and instant is added up."""
    if not captured:
        return
    row = upsert(lots)
    added = {"left_minor": lots.c.left_minor + row.excluded.left_minor}
    await conn.execute(
        row.on_conflict_do_update(index_elements=list(lots.primary_key), set_=added),
        [
            {
                "tenant": tenant,
                "hold_id": lot.hold_id,
                "grant_id": lot.grant_id,
                "captured_at": lot.captured_at,
                "wallet_id": lot.wallet_id,
                "subscription_id": lot.subscription_id,
                "left_minor": lot.left_minor,
            }
            for lot in captured
        ],
    )


async def find_lots(
    conn: AsyncConnection,
    tenant: Tenant,
    wallet_ids: Sequence[UUID],
    subscription_ids: Sequence[str],
) -> list[Lot]:
    """Return what locked wallets have left of captured money of the subscriptions."""
    query = (
        select(lots)
        .where(
            lots.c.tenant == tenant,
            lots.c.wallet_id.in_(wallet_ids),
            lots.c.subscription_id.in_(subscription_ids),
            lots.c.left_minor > 0,
        )
        .order_by(lots.c.captured_at, lots.c.hold_id, lots.c.grant_id)
    )
    return [
        Lot(
            wallet_id=row.wallet_id,
            subscription_id=row.subscription_id,
            hold_id=row.hold_id,
            grant_id=row.grant_id,
            captured_at=row.captured_at,
            left_minor=row.left_minor,
        )
        for row in await conn.execute(query)
    ]


async def save_lots(conn: AsyncConnection, tenant: Tenant, changed: Sequence[Lot]) -> None:
    """Write what is left of lots. Their wallets are locked by `conn`."""
    if not changed:
        return
    await conn.execute(
        update(lots)
        .where(
            lots.c.tenant == tenant,
            lots.c.hold_id == bindparam("of_hold"),
            lots.c.grant_id == bindparam("of_grant"),
            lots.c.captured_at == bindparam("at"),
        )
        .values(left_minor=bindparam("left")),
        [
            {
                "of_hold": lot.hold_id,
                "of_grant": lot.grant_id,
                "at": lot.captured_at,
                "left": lot.left_minor,
            }
            for lot in changed
        ],
    )


async def _insert_parts(conn: AsyncConnection, tenant: Tenant, of: Sequence[Hold]) -> None:
    rows = [
        {
            "tenant": tenant,
            "hold_id": hold.hold_id,
            "place": place,
            "grant_id": part.grant_id,
            "held_minor": part.amount_minor,
        }
        for hold in of
        for place, part in enumerate(hold.parts)
    ]
    if rows:
        await conn.execute(insert(hold_parts), rows)


async def _load(conn: AsyncConnection, tenant: Tenant, wanted: ColumnElement[bool]) -> list[Hold]:
    query = (
        select(holds, hold_parts.c.grant_id, hold_parts.c.held_minor)
        .join_from(
            holds,
            hold_parts,
            (hold_parts.c.tenant == holds.c.tenant) & (hold_parts.c.hold_id == holds.c.hold_id),
            isouter=True,
        )
        .where(holds.c.tenant == tenant, wanted)
        .order_by(holds.c.hold_id, hold_parts.c.place)
    )
    rows_of: dict[str, list[Row[Any]]] = {}
    for row in await conn.execute(query):
        rows_of.setdefault(row.hold_id, []).append(row)
    return [_hold_of(rows) for rows in rows_of.values()]


def _hold_of(rows: Sequence[Row[Any]]) -> Hold:
    row = rows[0]
    return Hold(
        hold_id=row.hold_id,
        wallet_id=row.wallet_id,
        subscription_id=row.subscription_id,
        amount=Money(row.currency, row.amount_minor),
        captured_minor=row.captured_minor,
        status=HoldStatus(row.status),
        expires_at=row.expires_at,
        created_at=row.created_at,
        parts=tuple(Use(one.grant_id, one.held_minor) for one in rows if one.grant_id),
    )
