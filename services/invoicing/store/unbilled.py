"""Reading and writing what is unbilled, and of whom that is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Status
from services.invoicing.domain.unbilled import Unbilled, UnbilledLine
from services.invoicing.store.encoding import from_json, to_json
from services.invoicing.store.invoices import CLOSE
from services.invoicing.store.schema import invoice_periods, invoices
from services.invoicing.store.unbilled_schema import unbilled_periods, wallet_customers

columns = unbilled_periods.c
WAITING = columns.told_changes < columns.changes


@dataclass(frozen=True, slots=True)
class ToldPeriod:
    """What was told of a period, and up to which of its `changes`."""

    told: Unbilled
    changes: int
    told_changes: int


async def insert_wallet_customers(
    conn: AsyncConnection, tenant: Tenant, customer_ids: Collection[str]
) -> None:
    """Note that customers have wallets."""
    rows = [{"tenant": tenant, "customer_id": one} for one in sorted(set(customer_ids))]
    if rows:
        await conn.execute(insert(wallet_customers).on_conflict_do_nothing(), rows)


async def find_unfollowed(conn: AsyncConnection, *, limit: int) -> list[tuple[Tenant, str]]:
    """Return customers with wallets whose usage rating was not asked for, over all tenants."""
    query = select(wallet_customers).where(~wallet_customers.c.followed).limit(limit)
    return [(Tenant(row.tenant), row.customer_id) for row in await conn.execute(query)]


async def has_wallet(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> bool:
    """Tell whether a customer is known to have a wallet."""
    query = select(1).select_from(wallet_customers)
    mine = query.where(wallet_customers.c.tenant == tenant)
    found = await conn.execute(mine.where(wallet_customers.c.customer_id == customer_id))
    return found.first() is not None


async def mark_followed(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> None:
    """Note that rating follows a customer."""
    mine = update(wallet_customers).filter_by(tenant=tenant, customer_id=customer_id)
    await conn.execute(mine.values(followed=True))


async def note_changes(
    conn: AsyncConnection, tenant: Tenant, periods: Collection[tuple[UUID, str, str, str]]
) -> None:
    """Note that usage of periods changed: ids with customer, currency and subscription."""
    row = insert(unbilled_periods)
    changed = row.on_conflict_do_update(
        index_elements=["tenant", "period_id"], set_={"changes": columns.changes + 1}
    )
    keys = ("period_id", "customer_id", "currency", "subscription_id")
    rows = [{"tenant": tenant, **dict(zip(keys, one, strict=True))} for one in sorted(set(periods))]
    if rows:
        await conn.execute(changed, rows)


async def note_billed(conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]) -> None:
    """Note that invoices bill some or all of their periods' usage now."""
    billed = select(invoice_periods.c.period_id).filter_by(tenant=tenant)
    which = columns.period_id.in_(billed.where(among(invoice_periods.c.invoice_id, invoice_ids)))
    mine = select(columns.period_id).filter_by(tenant=tenant).where(which)
    locked = await conn.execute(mine.order_by(columns.period_id).with_for_update())
    period_ids = list(locked.scalars())
    if period_ids:
        changed = update(unbilled_periods).filter_by(tenant=tenant)
        await conn.execute(
            changed.where(among(columns.period_id, period_ids)).values(changes=columns.changes + 1)
        )


async def find_untold(conn: AsyncConnection, *, limit: int) -> list[tuple[Tenant, UUID]]:
    """Return periods that changed since they were told of, over all tenants."""
    query = select(columns.tenant, columns.period_id).where(WAITING).limit(limit)
    return [(Tenant(row.tenant), row.period_id) for row in await conn.execute(query)]


async def count_untold(conn: AsyncConnection) -> tuple[int, int]:
    """Return how many periods are to be told of, and how many customers to be followed."""
    periods = select(func.count()).select_from(unbilled_periods).where(WAITING)
    unfollowed = select(func.count()).select_from(wallet_customers)
    return (
        (await conn.execute(periods)).scalar_one(),
        (await conn.execute(unfollowed.where(~wallet_customers.c.followed))).scalar_one(),
    )


async def lock_told(conn: AsyncConnection, tenant: Tenant, period_id: UUID) -> ToldPeriod:
    """Return what was told of a period that is locked to the end of the transaction."""
    query = select(unbilled_periods).filter_by(tenant=tenant, period_id=period_id)
    return _told_of((await conn.execute(query.with_for_update())).one())


async def open_told(conn: AsyncConnection, tenant: Tenant, period: Unbilled) -> ToldPeriod:
    """Return what was told of a period, as `lock_told` does; if nothing, `period` is stored."""
    row = insert(unbilled_periods).on_conflict_do_nothing()
    await conn.execute(
        row.values(
            tenant=tenant,
            period_id=period.period_id,
            customer_id=period.customer_id,
            currency=period.currency,
            subscription_id=period.subscription_id,
            changes=0,
        )
    )
    return await lock_told(conn, tenant, period.period_id)


async def save_told(
    conn: AsyncConnection, tenant: Tenant, told: Unbilled, *, told_changes: int
) -> None:
    """Store what is told of a locked period, up to so many of its changes."""
    mine = update(unbilled_periods).filter_by(tenant=tenant, period_id=told.period_id)
    await conn.execute(
        mine.values(
            revision=told.revision,
            lines=to_json(told.lines),
            told_changes=func.greatest(columns.told_changes, told_changes),
        )
    )


async def find_status(conn: AsyncConnection, tenant: Tenant, period_id: UUID) -> Status | None:
    """Return where the invoice stands that bills all of a period; None: there is none yet."""
    of_invoice = and_(
        invoices.c.tenant == invoice_periods.c.tenant,
        invoices.c.invoice_id == invoice_periods.c.invoice_id,
    )
    query = (
        select(invoices.c.status)
        .select_from(invoice_periods.join(invoices, of_invoice))
        .where(
            invoice_periods.c.tenant == tenant,
            invoice_periods.c.period_id == period_id,
            invoice_periods.c.purpose == CLOSE,
            invoice_periods.c.live,
        )
    )
    found = (await conn.execute(query)).scalar_one_or_none()
    return None if found is None else Status(found)


def _told_of(row: Row[Any]) -> ToldPeriod:
    lines: Sequence[UnbilledLine] = from_json(row.lines, tuple[UnbilledLine, ...])
    told = Unbilled(
        row.customer_id,
        row.currency,
        row.period_id,
        row.subscription_id,
        row.revision,
        tuple(lines),
    )
    return ToldPeriod(told, row.changes, row.told_changes)
