"""Grants: their rows, and the list in burn order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.wallet.domain.grant import NEVER, Grant, GrantKind
from services.wallet.store.keyset import behind
from services.wallet.store.schema import grants
from services.wallet.store.schema_base import AT

# As the index says it, in no parameter: a plan that is kept must know that the index fits.
ANY_LEFT = (
    grants.c.available_minor + grants.c.held_minor + grants.c.captured_minor
) > literal_column("0")

BurnKey = tuple[int, datetime, str, int]  # As Grant.burn_key: priority, expiry, kind, number.


def grant_of(row: Row[Any]) -> Grant:
    """Read a grant's row."""
    return Grant(
        grant_id=row.grant_id,
        wallet_id=row.wallet_id,
        kind=GrantKind(row.kind),
        amount_minor=row.amount_minor,
        priority=row.priority,
        effective_at=row.effective_at,
        expires_at=row.expires_at,
        reference=row.reference,
        created_at=row.created_at,
        available_minor=row.available_minor,
        held_minor=row.held_minor,
        captured_minor=row.captured_minor,
        number=row.number,
    )


def grant_row(tenant: Tenant, grant: Grant) -> dict[str, Any]:
    """Write a new grant's row; the database numbers it."""
    return {
        "tenant": tenant,
        "grant_id": grant.grant_id,
        "wallet_id": grant.wallet_id,
        "kind": grant.kind.value,
        "amount_minor": grant.amount_minor,
        "available_minor": grant.available_minor,
        "held_minor": grant.held_minor,
        "captured_minor": grant.captured_minor,
        "priority": grant.priority,
        "effective_at": grant.effective_at,
        "expires_at": grant.expires_at,
        "reference": grant.reference,
        "created_at": grant.created_at,
    }


async def list_grants(
    conn: AsyncConnection,
    tenant: Tenant,
    wallet_id: UUID,
    *,
    after: BurnKey | None,
    limit: int,
) -> Sequence[Grant]:
    """Return all grants of a wallet in burn order, used up or not, from behind `after`."""
    key = (
        grants.c.priority,
        func.coalesce(grants.c.expires_at, literal(NEVER, AT)),
        grants.c.kind,
        grants.c.number,
    )
    query = select(grants).filter_by(tenant=tenant, wallet_id=wallet_id)
    if after is not None:
        query = query.where(behind(key, after))
    rows = await conn.execute(query.order_by(*key).limit(limit))
    return [grant_of(row) for row in rows]
