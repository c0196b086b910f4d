"""What became of grants, and where what was paid came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from services.wallet.domain.grant import GrantKind
from services.wallet.domain.ledger import Account, GrantUse
from services.wallet.store.keyset import behind
from services.wallet.store.schema import grant_uses, grants, transactions, wallets

UseKey = tuple[int, int]  # As GrantUse.key.


@dataclass(frozen=True, slots=True)
class UsesAsked:
    """Of which grant, of which reference, or of both; at least one is given."""

    grant_id: UUID | None
    reference: str | None
    line_id: UUID | None  # None: all.
    revenue_only: bool


async def list_uses(
    conn: AsyncConnection, tenant: Tenant, asked: UsesAsked, *, after: UseKey | None, limit: int
) -> Sequence[GrantUse]:
    """Return movements of grants, the oldest first, from behind `after`."""
    of_transaction = (grant_uses.c.tenant == transactions.c.tenant) & (
        grant_uses.c.transaction_id == transactions.c.transaction_id
    )
    of_grant = (grants.c.tenant == grant_uses.c.tenant) & (
        grants.c.grant_id == grant_uses.c.grant_id
    )
    of_wallet = (wallets.c.tenant == transactions.c.tenant) & (
        wallets.c.wallet_id == transactions.c.wallet_id
    )
    key = (transactions.c.number, grant_uses.c.place)
    query = (
        select(
            grant_uses,
            transactions.c.number,
            transactions.c.wallet_id,
            transactions.c.reason,
            transactions.c.reference,
            transactions.c.created_at,
            grants.c.kind,
            wallets.c.currency,
        )
        .select_from(
            grant_uses.join(transactions, of_transaction)
            .join(grants, of_grant)
            .join(wallets, of_wallet)
        )
        .where(grant_uses.c.tenant == tenant)
        .order_by(*key)
        .limit(limit)
    )
    if asked.grant_id is not None:
        query = query.where(grant_uses.c.grant_id == asked.grant_id)
    if asked.reference is not None:
        query = query.where(transactions.c.reference == asked.reference)
    if asked.line_id is not None:
        query = query.where(grant_uses.c.line_id == asked.line_id)
    if asked.revenue_only:
        revenue = Account.REVENUE.value
        query = query.where(or_(grant_uses.c.source == revenue, grant_uses.c.target == revenue))
    if after is not None:
        query = query.where(behind(key, after))
    return [
        GrantUse(
            number=row.number,
            transaction_id=row.transaction_id,
            place=row.place,
            grant_id=row.grant_id,
            wallet_id=row.wallet_id,
            kind=GrantKind(row.kind),
            reason=row.reason,
            reference=row.reference,
            line_id=row.line_id,
            source=Account(row.source),
            target=Account(row.target),
            amount=Money(row.currency, row.amount_minor),
            created_at=row.created_at,
        )
        for row in await conn.execute(query)
    ]


async def load_expired(
    conn: AsyncConnection, tenant: Tenant, wallet_ids: Sequence[UUID], since: datetime
) -> dict[UUID, int]:
    """Return what lapsed of grants of wallets after `since`, less what was taken of that later."""
    expired = Account.EXPIRED.value
    amount = grant_uses.c.amount_minor
    total = func.sum(case((grant_uses.c.target == expired, amount), else_=-amount))
    of_grant = (grants.c.tenant == grant_uses.c.tenant) & (
        grants.c.grant_id == grant_uses.c.grant_id
    )
    query = (
        select(grants.c.grant_id, total.label("total"))
        .select_from(grants.join(grant_uses, of_grant))
        .where(
            grants.c.tenant == tenant,
            grants.c.wallet_id.in_(wallet_ids),
            grants.c.expires_at > since,
            or_(grant_uses.c.target == expired, grant_uses.c.source == expired),
        )
        .group_by(grants.c.grant_id)
        .having(total > 0)
    )
    return {row.grant_id: int(row.total) for row in await conn.execute(query)}
