"""Metering sessions: their rows, and which of them nobody hears of any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.wallet.domain.session import Session
from services.wallet.store.schema import holds, sessions
from services.wallet.store.wallets import Due


async def find_session(conn: AsyncConnection, tenant: Tenant, session_id: UUID) -> Session | None:
    """Read a session, without a lock."""
    found = await _find(conn, tenant, sessions.c.session_id == session_id)
    return found[0] if found else None


async def find_of_holds(
    conn: AsyncConnection, tenant: Tenant, hold_ids: Sequence[str]
) -> list[Session]:
    """Read the sessions of holds. To change them, lock their wallets before."""
    return await _find(conn, tenant, sessions.c.hold_id.in_(hold_ids)) if hold_ids else []


async def insert_sessions(conn: AsyncConnection, tenant: Tenant, opened: Sequence[Session]) -> None:
    """Store new sessions; their holds are stored already."""
    if opened:
        await conn.execute(insert(sessions), [_row(tenant, one) for one in opened])


async def save_sessions(conn: AsyncConnection, tenant: Tenant, changed: Sequence[Session]) -> None:
    """Write sessions after a change. Their wallets are locked by `conn`."""
    if changed:
        row: dict[str, Any] = {
            name: bindparam(f"new_{name}") for name in sessions.c.keys() if name != "tenant"
        }
        await conn.execute(
            update(sessions)
            .where(sessions.c.tenant == tenant, sessions.c.session_id == bindparam("of_session"))
            .values(row),
            [
                {"of_session": one.session_id}
                | {f"new_{name}": value for name, value in _row(tenant, one).items()}
                for one in changed
            ],
        )


async def keep(conn: AsyncConnection, tenant: Tenant, session_id: UUID, until: datetime) -> None:
    """Put off the deadline of an open session."""
    await conn.execute(
        update(sessions)
        .filter_by(tenant=tenant, session_id=session_id, closed=False)
        .values(deadline_at=func.greatest(sessions.c.deadline_at, until))
    )


async def find_due(
    conn: AsyncConnection, now: datetime, *, limit: int
) -> Sequence[tuple[Tenant, UUID]]:
    """Return sessions of all tenants past their deadline, longest first. Worker only."""
    query = (
        select(sessions.c.tenant, sessions.c.session_id)
        .where(~sessions.c.closed, sessions.c.deadline_at <= now)
        .order_by(sessions.c.deadline_at)
        .limit(limit)
    )
    return [(Tenant(row.tenant), row.session_id) for row in await conn.execute(query)]


async def load_due(conn: AsyncConnection, now: datetime) -> Due:
    """Return how many sessions are past their deadline, and when the next will be. Worker only."""
    past = sessions.c.deadline_at <= now
    query = select(
        func.count().filter(past).label("due"),
        func.min(sessions.c.deadline_at).filter(~past).label("next_at"),
    ).where(~sessions.c.closed)
    row = (await conn.execute(query)).one()
    return Due(count=row.due, next_at=row.next_at)


async def _find(
    conn: AsyncConnection, tenant: Tenant, wanted: ColumnElement[bool]
) -> list[Session]:
    of_hold = (holds.c.tenant == sessions.c.tenant) & (holds.c.hold_id == sessions.c.hold_id)
    query = select(sessions, holds.c.currency).select_from(sessions.join(holds, of_hold))
    rows = await conn.execute(query.where(sessions.c.tenant == tenant, wanted))
    return [_session_of(row) for row in rows]


def _session_of(row: Row[Any]) -> Session:
    return Session(
        session_id=row.session_id,
        hold_id=row.hold_id,
        wallet_id=row.wallet_id,
        subscription_id=row.subscription_id,
        customer_id=row.customer_id,
        event_type=row.event_type,
        properties=row.properties,
        currency=row.currency,
        estimate_minor=row.estimate_minor,
        low_minor=row.low_minor,
        grace=row.grace,
        digest=row.digest,
        reported_at=row.reported_at,
        deadline_at=row.deadline_at,
        sequence=row.sequence,
        quantities={name: Decimal(text) for name, text in row.quantities.items()},
        added={name: Decimal(text) for name, text in row.added.items()},
        cost=row.cost,
        covered_minor=row.covered_minor,
        closed=row.closed,
    )


def _row(tenant: Tenant, session: Session) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "session_id": session.session_id,
        "hold_id": session.hold_id,
        "wallet_id": session.wallet_id,
        "subscription_id": session.subscription_id,
        "customer_id": session.customer_id,
        "event_type": session.event_type,
        "properties": dict(session.properties),
        "estimate_minor": session.estimate_minor,
        "low_minor": session.low_minor,
        "grace": session.grace,
        "digest": session.digest,
        "sequence": session.sequence,
        "quantities": _texts(session.quantities),
        "added": _texts(session.added),
        "reported_at": session.reported_at,
        "cost": session.cost,
        "covered_minor": session.covered_minor,
        "closed": session.closed,
        "deadline_at": session.deadline_at,
    }


def _texts(numbers: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: f"{number:f}" for name, number in numbers.items()}
