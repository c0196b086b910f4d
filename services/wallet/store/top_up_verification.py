"""Whether what was bought is in the books, and whether rules are woken when they should be."""

from __future__ import annotations

from sqlalchemy import and_, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.difference import Difference, compared
from services.wallet.domain.top_up import TopUpStatus
from services.wallet.store.schema import grants, wallets
from services.wallet.store.sums import broken_rows
from services.wallet.store.top_up_schema import top_up_rules, top_ups


async def top_ups_are_in_the_books(conn: AsyncConnection) -> list[Difference]:
    """Compare what each top-up bought, if it is settled, with the grant of the same id."""
    of_top_up = and_(
        grants.c.tenant == top_ups.c.tenant,
        grants.c.wallet_id == top_ups.c.wallet_id,
        grants.c.grant_id == top_ups.c.top_up_id,
    )
    settled = top_ups.c.status == TopUpStatus.SETTLED
    bought = case((settled, top_ups.c.paid_minor), else_=literal(0))
    granted = func.coalesce(grants.c.amount_minor, 0)
    query = (
        select(top_ups, bought.label("bought"), granted.label("granted"))
        .select_from(top_ups.join(grants, of_top_up, isouter=True))
        .where(bought != granted)
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "top-up",
            {"wallet_id": str(row.wallet_id), "top_up_id": str(row.top_up_id)},
            granted_minor=(row.granted, row.bought),
        )
    ]


async def wallets_watch_for_their_rules(conn: AsyncConnection) -> list[Difference]:
    """Compare the balance at which each wallet wakes its rules with their highest threshold."""
    highest = (
        select(func.max(top_up_rules.c.threshold_minor))
        .where(
            top_up_rules.c.tenant == wallets.c.tenant,
            top_up_rules.c.wallet_id == wallets.c.wallet_id,
            top_up_rules.c.archived_at.is_(None),
        )
        .scalar_subquery()
    )
    query = select(wallets, highest.label("highest")).where(
        wallets.c.watched_minor.is_distinct_from(highest)
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "wallet",
            {"wallet_id": str(row.wallet_id)},
            watched_minor=(row.watched_minor, row.highest),
        )
    ]
