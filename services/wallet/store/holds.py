"""Holds with what they reserve of each grant, and lots of captured money."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Row,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    delete,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from services.wallet.domain.hold import Hold, HoldNotFound, HoldStatus, Lot
from services.wallet.domain.ledger import Use
from services.wallet.store.rows import columns_of, given, insert_rows, write
from services.wallet.store.schema import hold_parts, holds, lots

HoldKey = tuple[datetime, str]  # When it was placed, and its id.

# As the index says it, in no parameter: a plan that is kept must know that the index fits.
IS_OPEN = holds.c.status == literal_column("'open'")
# Built once: SQLAlchemy takes longer to build such a statement than PostgreSQL to execute it.
OF_TENANT = bindparam("of_tenant", type_=Integer)
OF_HOLDS = any_(bindparam("each_hold_id", type_=ARRAY(Text)))


def _select_holds(wanted: ColumnElement[bool]) -> Select[Any]:
    of_hold = (hold_parts.c.tenant == holds.c.tenant) & (hold_parts.c.hold_id == holds.c.hold_id)
    return (
        select(holds, hold_parts.c.grant_id, hold_parts.c.held_minor)
        .join_from(holds, hold_parts, of_hold, isouter=True)
        .where(holds.c.tenant == OF_TENANT, wanted)
        .order_by(holds.c.hold_id, hold_parts.c.place)
    )


SELECT_HOLDS = _select_holds(holds.c.hold_id == OF_HOLDS)
SELECT_DUE = _select_holds(
    (holds.c.wallet_id == any_(bindparam("wallet_ids", type_=ARRAY(Uuid))))
    & IS_OPEN
    & (holds.c.expires_at <= bindparam("now"))
)
_changed = given(holds, "hold_id", "status", "captured_minor", "amount_minor", "expires_at")
UPDATE_HOLDS = (
    update(holds)
    .where(
        holds.c.tenant == OF_TENANT,
        holds.c.hold_id == OF_HOLDS,  # Else a plan made for few holds may read them all.
        holds.c.hold_id == _changed.c.hold_id,
    )
    .values({name: _changed.c[name] for name in _changed.c.keys() if name != "hold_id"})
)
DELETE_PARTS = delete(hold_parts).where(
    hold_parts.c.tenant == OF_TENANT,
    hold_parts.c.hold_id == OF_HOLDS,
)


async def load_hold(conn: AsyncConnection, tenant: Tenant, hold_id: str) -> Hold:
    """Read a hold. To change it, lock its wallet before.

    Raises:
        HoldNotFound: the tenant has no such hold.
    """
    found = await find_holds(conn, tenant, [hold_id])
    if not found:
        raise HoldNotFound(f"there is no hold {hold_id}")
    return found[0]


async def find_holds(conn: AsyncConnection, tenant: Tenant, hold_ids: Sequence[str]) -> list[Hold]:
    """Read those of the holds that the tenant has. To change them, lock their wallets before."""
    if not hold_ids:
        return []
    return await _load(conn, tenant, SELECT_HOLDS, each_hold_id=hold_ids)


async def list_holds(
    conn: AsyncConnection,
    tenant: Tenant,
    wallet_id: UUID,
    *,
    status: HoldStatus | None,
    subscription_id: str | None,
    before: HoldKey | None,
    limit: int,
) -> list[Hold]:
    """Return a wallet's holds, newest first, from those older than the key `before`."""
    key = tuple_(holds.c.created_at, holds.c.hold_id)
    query = select(holds.c.hold_id).filter_by(tenant=tenant, wallet_id=wallet_id)
    if status is not None:
        query = query.where(holds.c.status == status.value)
    if subscription_id is not None:
        query = query.where(holds.c.subscription_id == subscription_id)
    if before is not None:
        query = query.where(key < tuple_(*map(literal, before)))
    newest = query.order_by(holds.c.created_at.desc(), holds.c.hold_id.desc()).limit(limit)
    found = await find_holds(conn, tenant, list((await conn.execute(newest)).scalars()))
    return sorted(found, key=lambda hold: (hold.created_at, hold.hold_id), reverse=True)


async def find_due(
    conn: AsyncConnection, tenant: Tenant, wallet_ids: Sequence[UUID], now: datetime
) -> list[Hold]:
    """Return the open holds of locked wallets whose deadline has passed."""
    return await _load(conn, tenant, SELECT_DUE, wallet_ids=wallet_ids, now=now)


async def insert_holds(conn: AsyncConnection, tenant: Tenant, placed: Sequence[Hold]) -> None:
    """Store new holds. Their wallets are locked by `conn`."""
    await insert_rows(
        conn,
        holds,
        [
            {
                "tenant": tenant,
                "hold_id": hold.hold_id,
                "wallet_id": hold.wallet_id,
                "subscription_id": hold.subscription_id,
                "currency": hold.amount.currency,
                "amount_minor": hold.amount.amount_minor,
                "captured_minor": hold.captured_minor,
                "status": hold.status.value,
                "expires_at": hold.expires_at,
                "created_at": hold.created_at,
            }
            for hold in placed
        ],
    )
    await _insert_parts(conn, tenant, placed)


async def save_holds(conn: AsyncConnection, tenant: Tenant, changed: Sequence[Hold]) -> None:
    """Write holds after a change. Their wallets are locked by `conn`."""
    if not changed:
        return
    rows = [
        {
            "hold_id": hold.hold_id,
            "status": hold.status.value,
            "captured_minor": hold.captured_minor,
            "amount_minor": hold.amount.amount_minor,
            "expires_at": hold.expires_at,
        }
        for hold in changed
    ]
    values = {"of_tenant": tenant, **columns_of(rows)}
    await write(conn, UPDATE_HOLDS, [values])
    await write(conn, DELETE_PARTS, [values])
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
    await insert_rows(conn, hold_parts, rows)


async def _load(
    conn: AsyncConnection, tenant: Tenant, query: Select[Any], **values: object
) -> list[Hold]:
    rows_of: dict[str, list[Row[Any]]] = {}
    for row in await conn.execute(query, {"of_tenant": tenant, **values}):
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
