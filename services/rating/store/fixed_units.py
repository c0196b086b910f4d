"""Reading and writing the units of fixed charges that subscriptions have of their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.unit_change import UnitChange
from services.rating.store.fixed_schema import fixed_unit_changes
from services.rating.store.periods import read_period, select_periods
from services.rating.store.schema import billing_periods


async def insert_change(
    conn: AsyncConnection, tenant: Tenant, subscription_uid: UUID, change: UnitChange
) -> None:
    """Add a change of a locked subscription."""
    await conn.execute(
        insert(fixed_unit_changes).values(
            tenant=tenant,
            subscription_uid=subscription_uid,
            charge_code=change.charge_code,
            number=change.number,
            term_id=change.term_id,
            from_day=change.from_day,
            units=change.units,
            changed_at=change.changed_at,
        )
    )


async def load_changes(
    conn: AsyncConnection, tenants: Collection[int], uids: Collection[UUID]
) -> dict[UUID, list[UnitChange]]:
    """Return all changes of subscriptions of `tenants` by uid, by charge and number."""
    if not uids:
        return {}
    columns = fixed_unit_changes.c
    query = (
        select(fixed_unit_changes)
        .where(among(columns.tenant, tenants), among(columns.subscription_uid, uids))
        .order_by(columns.charge_code, columns.number)
    )
    found: dict[UUID, list[UnitChange]] = {}
    for row in await conn.execute(query):
        change = UnitChange(
            charge_code=row.charge_code,
            number=row.number,
            from_day=row.from_day,
            units=row.units,
            changed_at=row.changed_at.astimezone(UTC),
            term_id=row.term_id,
        )
        found.setdefault(row.subscription_uid, []).append(change)
    return found


async def lock_periods_from(
    conn: AsyncConnection, tenant: Tenant, subscription_uid: UUID, kind: PeriodKind, from_day: date
) -> Sequence[BillingPeriod]:
    """Lock the periods of a subscription and `kind` that bill `from_day` or later ones.

    In the order of their ids. Until the transaction ends none can be announced or closed: a close
    either prices the change, or is seen by it.
    """
    columns = billing_periods.c
    query = (
        select_periods()
        .where(
            columns.tenant == tenant,
            columns.subscription_uid == subscription_uid,
            columns.kind == kind,
            columns.fee_end_day > from_day,
        )
        .order_by(columns.period_id)
        .with_for_update(of=billing_periods, key_share=True)
    )
    return [read_period(row) for row in await conn.execute(query)]
