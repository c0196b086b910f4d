"""Top-up rules: their rows, and which of them are due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.wallet.domain.top_up_rule import (
    Below,
    Every,
    Fixed,
    Interval,
    TopUpRule,
    TopUpRuleNotFound,
    UpTo,
    highest_threshold,
)
from services.wallet.store.schema import wallets
from services.wallet.store.top_up_schema import top_up_rules
from services.wallet.store.wallets import Due


def rule_of(row: Row[Any]) -> TopUpRule:
    """Read a rule's row."""
    return TopUpRule(
        rule_id=row.rule_id,
        wallet_id=row.wallet_id,
        name=row.name,
        trigger=(
            Every(Interval(row.interval), row.first_day)
            if row.threshold_minor is None
            else Below(row.threshold_minor, timedelta(seconds=row.cool_down_s))
        ),
        amount=(
            Fixed(row.paid_minor, row.granted_minor)
            if row.target_minor is None
            else UpTo(row.target_minor, row.gives_target)
        ),
        zone=ZoneInfo(row.time_zone),
        requires_payment=row.requires_payment,
        ignores_limits=row.ignores_limits,
        monthly_cap_minor=row.monthly_cap_minor,
        expires_at=row.expires_at,
        created_at=row.created_at,
        archived_at=row.archived_at,
        done_through=row.done_through,
        fired=row.fired,
        fired_at=row.fired_at,
        look_at=row.look_at,
        number=row.number,
    )


async def insert_rule(conn: AsyncConnection, tenant: Tenant, rule: TopUpRule) -> None:
    """Store a new rule; the database numbers it. Its wallet is locked by `conn`."""
    row = {"tenant": tenant, "rule_id": rule.rule_id, "created_at": rule.created_at}
    await conn.execute(insert(top_up_rules).values(**row, **_changing(rule)))


async def save_rules(conn: AsyncConnection, tenant: Tenant, changed: Sequence[TopUpRule]) -> None:
    """Write rules of a wallet that is locked by `conn`, all but what stays."""
    for rule in changed:
        of_rule = update(top_up_rules).filter_by(tenant=tenant, rule_id=rule.rule_id)
        await conn.execute(of_rule.values(**_changing(rule)))


async def load_rule(conn: AsyncConnection, tenant: Tenant, rule_id: UUID) -> TopUpRule:
    """Read a rule. To change it, lock its wallet, and read it again.

    Raises:
        TopUpRuleNotFound: the tenant has no such rule.
    """
    query = select(top_up_rules).filter_by(tenant=tenant, rule_id=rule_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise TopUpRuleNotFound(f"there is no top-up rule {rule_id}")
    return rule_of(row)


async def list_rules(
    conn: AsyncConnection, tenant: Tenant, wallet_id: UUID, *, after: int, limit: int
) -> Sequence[TopUpRule]:
    """Return a wallet's rules, oldest first, from behind the number `after`."""
    query = select(top_up_rules).filter_by(tenant=tenant, wallet_id=wallet_id)
    behind = query.where(top_up_rules.c.number > after)
    rows = await conn.execute(behind.order_by(top_up_rules.c.number).limit(limit))
    return [rule_of(row) for row in rows]


async def load_live(conn: AsyncConnection, tenant: Tenant, wallet_id: UUID) -> list[TopUpRule]:
    """Return the rules of a wallet that are not archived, oldest first."""
    query = select(top_up_rules).filter_by(tenant=tenant, wallet_id=wallet_id, archived_at=None)
    return [rule_of(row) for row in await conn.execute(query.order_by(top_up_rules.c.number))]


async def wake(
    conn: AsyncConnection, tenant: Tenant, wallet_ids: Sequence[UUID], at: datetime
) -> None:
    """Have the rules of wallets, locked by `conn`, that wait for a balance looked at."""
    await conn.execute(
        update(top_up_rules)
        .filter_by(tenant=tenant, archived_at=None)
        .where(
            among(top_up_rules.c.wallet_id, wallet_ids),
            top_up_rules.c.threshold_minor.is_not(None),
        )
        .values(look_at=at)
    )


async def watch(conn: AsyncConnection, tenant: Tenant, wallet_id: UUID) -> None:
    """Note on a wallet, locked by `conn`, at which balance its rules are to be looked at."""
    threshold = highest_threshold(await load_live(conn, tenant, wallet_id))
    of_wallet = update(wallets).filter_by(tenant=tenant, wallet_id=wallet_id)
    await conn.execute(of_wallet.values(watched_minor=threshold))


async def find_due(
    conn: AsyncConnection, now: datetime, *, limit: int
) -> Sequence[tuple[Tenant, UUID]]:
    """Return wallets of all tenants with rules to look at, longest due first. Worker only."""
    due = func.min(top_up_rules.c.look_at)
    query = (
        select(top_up_rules.c.tenant, top_up_rules.c.wallet_id)
        .where(top_up_rules.c.look_at <= now)
        .group_by(top_up_rules.c.tenant, top_up_rules.c.wallet_id)
        .order_by(due)
        .limit(limit)
    )
    return [(Tenant(row.tenant), row.wallet_id) for row in await conn.execute(query)]


async def load_due(conn: AsyncConnection, now: datetime) -> Due:
    """Return how many rules are due at `now`, and when the next one will be. Worker only."""
    count = select(func.count()).select_from(top_up_rules).where(top_up_rules.c.look_at <= now)
    ahead = select(func.min(top_up_rules.c.look_at)).where(top_up_rules.c.look_at > now)
    row = (
        await conn.execute(
            select(count.scalar_subquery().label("due"), ahead.scalar_subquery().label("next_at"))
        )
    ).one()
    return Due(count=row.due, next_at=row.next_at)


def _changing(rule: TopUpRule) -> dict[str, Any]:
    below = rule.trigger if isinstance(rule.trigger, Below) else None
    every = rule.trigger if isinstance(rule.trigger, Every) else None
    fixed = rule.amount if isinstance(rule.amount, Fixed) else None
    target = rule.amount if isinstance(rule.amount, UpTo) else None
    return {
        "wallet_id": rule.wallet_id,
        "name": rule.name,
        "threshold_minor": below and below.threshold_minor,
        "cool_down_s": below and int(below.cool_down.total_seconds()),
        "interval": every and every.interval,
        "first_day": every and every.first_day,
        "paid_minor": fixed and fixed.paid_minor,
        "granted_minor": fixed and fixed.granted_minor,
        "target_minor": target and target.target_minor,
        "gives_target": target and target.gives,
        "time_zone": rule.zone.key,
        "requires_payment": rule.requires_payment,
        "ignores_limits": rule.ignores_limits,
        "monthly_cap_minor": rule.monthly_cap_minor,
        "expires_at": rule.expires_at,
        "archived_at": rule.archived_at,
        "done_through": rule.done_through,
        "fired": rule.fired,
        "fired_at": rule.fired_at,
        "look_at": rule.look_at,
    }
