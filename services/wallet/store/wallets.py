"""Wallets: their rows, balances and lists, and which of them are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Row, Select, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.wallet.domain.top_up_limits import Limits
from services.wallet.domain.wallet import (
    Balance,
    Scope,
    Wallet,
    WalletCodeTaken,
    WalletNotFound,
)
from services.wallet.store.keyset import behind
from services.wallet.store.reservations import load_reserved
from services.wallet.store.schema import grants, wallets

DrawKey = tuple[str, int, int]  # Customer, priority, number.


@dataclass(frozen=True, slots=True)
class Due:
    """How many wallets have something due, and when the next one will."""

    count: int
    next_at: datetime | None


def wallet_of(row: Row[Any]) -> Wallet:
    """Read a wallet's row, but for its balances."""
    return Wallet(
        wallet_id=row.wallet_id,
        customer_id=row.customer_id,
        currency=row.currency,
        name=row.name,
        priority=row.priority,
        scope=Scope(frozenset(row.fee_kinds), frozenset(row.meter_codes)),
        created_at=row.created_at,
        number=row.number,
        code=row.code,
        rate=row.rate,
        low_minor=row.low_minor,
        soft_minor=row.soft_minor,
        expires_at=row.expires_at,
        terminated_at=row.terminated_at,
        limits=Limits(row.top_up_min_minor, row.top_up_max_minor),
    )


async def insert_wallet(conn: AsyncConnection, tenant: Tenant, wallet: Wallet) -> None:
    """Store a new wallet, empty; the database numbers it.

    Raises:
        WalletCodeTaken: the customer has another one of its code.
    """
    row = insert(wallets).values(
        tenant=tenant,
        wallet_id=wallet.wallet_id,
        customer_id=wallet.customer_id,
        currency=wallet.currency,
        created_at=wallet.created_at,
        code=wallet.code,
        rate=wallet.rate,
        expires_at=wallet.expires_at,
        **_changing(wallet),
    )
    if (await conn.execute(row.on_conflict_do_nothing())).rowcount == 0:
        raise WalletCodeTaken(f"customer {wallet.customer_id} has a wallet {wallet.code}")


async def update_wallets(conn: AsyncConnection, tenant: Tenant, changed: Sequence[Wallet]) -> None:
    """Write what may change of wallets, locked by `conn`, but their balances."""
    for wallet in changed:
        await conn.execute(
            update(wallets)
            .filter_by(tenant=tenant, wallet_id=wallet.wallet_id)
            .values(**_changing(wallet))
        )


def _changing(wallet: Wallet) -> dict[str, Any]:
    return {
        "name": wallet.name,
        "priority": wallet.priority,
        "fee_kinds": sorted(wallet.scope.fee_kinds),
        "meter_codes": sorted(wallet.scope.meter_codes),
        "low_minor": wallet.low_minor,
        "soft_minor": wallet.soft_minor,
        "terminated_at": wallet.terminated_at,
        "top_up_min_minor": wallet.limits.minimum_minor,
        "top_up_max_minor": wallet.limits.maximum_minor,
    }


async def load_wallet(
    conn: AsyncConnection, tenant: Tenant, wallet_id: UUID, now: datetime
) -> tuple[Wallet, Balance]:
    """Read a wallet and, in the same instant, its balance at `now`, without a lock.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    ahead = (
        select(func.coalesce(func.sum(grants.c.available_minor), 0))
        .where(
            grants.c.tenant == wallets.c.tenant,
            grants.c.wallet_id == wallets.c.wallet_id,
            grants.c.effective_at > now,
        )
        .scalar_subquery()
    )
    query = select(wallets, cast(ahead, BigInteger).label("ahead_minor"))
    row = (await conn.execute(query.filter_by(tenant=tenant, wallet_id=wallet_id))).one_or_none()
    if row is None:
        raise WalletNotFound(f"there is no wallet {wallet_id}")
    balance = Balance(
        currency=row.currency,
        available_minor=row.available_minor - row.ahead_minor,
        held_minor=row.held_minor,
        captured_minor=row.captured_minor,
        rate=row.rate,
        reserved_minor=(await load_reserved(conn, tenant, [wallet_id]))[wallet_id].amount_minor,
    )
    return wallet_of(row), balance


async def is_due(conn: AsyncConnection, tenant: Tenant, wallet_id: UUID, now: datetime) -> bool:
    """Tell whether a hold or a grant of the wallet has lapsed and is not posted yet."""
    query = select(wallets.c.due_at <= now).filter_by(tenant=tenant, wallet_id=wallet_id)
    return bool((await conn.execute(query)).scalar_one_or_none())


async def list_wallets(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str | None,
    after: DrawKey | None,
    limit: int,
) -> Sequence[Wallet]:
    """Return wallets by customer, priority and age, from behind `after`."""
    key = (wallets.c.customer_id, wallets.c.priority, wallets.c.number)
    query = select(wallets).filter_by(tenant=tenant)
    if customer_id is not None:
        query = query.filter_by(customer_id=customer_id)
    if after is not None:
        query = query.where(behind(key, after))
    rows = await conn.execute(query.order_by(*key).limit(limit))
    return [wallet_of(row) for row in rows]


async def find_due(
    conn: AsyncConnection, now: datetime, *, limit: int
) -> Sequence[tuple[Tenant, UUID]]:
    """Return wallets of all tenants with something due, longest due first. Worker only."""
    query = (
        select(wallets.c.tenant, wallets.c.wallet_id)
        .where(wallets.c.due_at <= now)
        .order_by(wallets.c.due_at)
        .limit(limit)
    )
    return [(Tenant(row.tenant), row.wallet_id) for row in await conn.execute(query)]


async def load_due(conn: AsyncConnection, now: datetime) -> Due:
    """Return how much is due at `now`, and when the next thing will be. Worker only."""
    count: Select[Any] = select(func.count()).select_from(wallets).where(wallets.c.due_at <= now)
    ahead = select(func.min(wallets.c.due_at)).where(wallets.c.due_at > now)
    row = (
        await conn.execute(
            select(count.scalar_subquery().label("due"), ahead.scalar_subquery().label("next_at"))
        )
    ).one()
    return Due(count=row.due, next_at=row.next_at)
