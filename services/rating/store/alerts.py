"""Reading and writing alerts, how they stood, and what they told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import Period
from libs.quantity import decimal_text
from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.alert import (
    Alert,
    AlertCodeTaken,
    AlertDirection,
    AlertMeasure,
    AlertNotFound,
    Crossing,
    Threshold,
)
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.store.alert_schema import alert_firings, alert_states, alerts
from services.rating.store.periods import read_period, select_periods
from services.rating.store.schema import billing_periods

FIRINGS_MAX = 100
Place = tuple[UUID, UUID]  # An alert and a period.


@dataclass(frozen=True, slots=True)
class State:
    """What a period had come to at the last look, and how many looks there were."""

    value: Decimal | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Firing:
    """What an alert told: `earlier_count` says how often it had told the same of the period."""

    period_id: UUID
    usage: Period
    crossing: Crossing
    value: Decimal
    triggered_at: datetime
    earlier_count: int = 0


async def insert_alert(conn: AsyncConnection, tenant: Tenant, alert: Alert) -> None:
    """Add `alert`.

    Raises:
        AlertCodeTaken: another one of the subscription has its code.
    """
    adding = insert(alerts).values(
        tenant=tenant,
        alert_id=alert.alert_id,
        subscription_id=alert.subscription_id,
        code=alert.code,
        name=alert.name,
        measure=alert.measure,
        meter_code=alert.meter_code or None,
        direction=alert.direction,
        thresholds=[[one.code, decimal_text(one.value)] for one in alert.thresholds],
        repeating_step=alert.repeating_step,
        created_at=alert.created_at,
    )
    if (await conn.execute(adding.on_conflict_do_nothing())).rowcount == 0:
        problem = f"another alert of {alert.subscription_id} has the code {alert.code}"
        raise AlertCodeTaken(problem)


async def count_alerts(conn: AsyncConnection, tenant: Tenant, subscription_id: str) -> int:
    """Return how many alerts a subscription has."""
    query = select(func.count()).select_from(alerts)
    found = await conn.execute(query.filter_by(tenant=tenant, subscription_id=subscription_id))
    return int(found.scalar_one())


async def load_alert(
    conn: AsyncConnection, tenant: Tenant, alert_id: UUID, *, lock: bool = False
) -> Alert:
    """Return an alert, locked if the caller will change it.

    Raises:
        AlertNotFound: there is none.
    """
    query = select(alerts).filter_by(tenant=tenant, alert_id=alert_id)
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise AlertNotFound(f"no alert {alert_id}")
    return _read(row)


async def list_alerts(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    subscription_id: str,
    after: tuple[str, str] | None,
    limit: int,
) -> Sequence[Alert]:
    """Return up to `limit` alerts, of one subscription if it is named, after those keys."""
    keys = tuple_(alerts.c.subscription_id, alerts.c.code)
    query = select(alerts).filter_by(tenant=tenant)
    if subscription_id:
        query = query.filter_by(subscription_id=subscription_id)
    if after is not None:
        query = query.where(keys > after)
    rows = await conn.execute(query.order_by(*keys.clauses).limit(limit))
    return [_read(row) for row in rows]


async def delete_alert(conn: AsyncConnection, tenant: Tenant, alert_id: UUID) -> None:
    """Delete a locked alert, with all that is known of it."""
    for table in (alert_firings, alert_states, alerts):
        await conn.execute(delete(table).filter_by(tenant=tenant, alert_id=alert_id))


async def load_of_subscriptions(
    conn: AsyncConnection, tenant: Tenant, subscription_ids: Collection[str]
) -> dict[str, list[Alert]]:
    """Return the alerts of subscriptions, by id and in the order of their codes."""
    found: dict[str, list[Alert]] = {one: [] for one in subscription_ids}
    query = select(alerts).filter_by(tenant=tenant).order_by(alerts.c.code)
    for row in await conn.execute(query.where(among(alerts.c.subscription_id, subscription_ids))):
        found[row.subscription_id].append(_read(row))
    return found


async def load_states(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[Place, State]:
    """Return how alerts stood in periods."""
    query = select(alert_states).filter_by(tenant=tenant)
    rows = await conn.execute(query.where(among(alert_states.c.period_id, period_ids)))
    return {(row.alert_id, row.period_id): State(row.value, row.revision) for row in rows}


async def hold_alerts(
    conn: AsyncConnection, tenant: Tenant, subscription_id: str
) -> Collection[UUID]:
    """Return the alerts that a subscription still has; they are not deleted meanwhile."""
    query = select(alerts.c.alert_id).filter_by(tenant=tenant, subscription_id=subscription_id)
    locking = query.order_by(alerts.c.alert_id).with_for_update(read=True, key_share=True)
    return (await conn.execute(locking)).scalars().all()


async def save_state(
    conn: AsyncConnection, tenant: Tenant, place: Place, *, seen: State, value: Decimal
) -> bool:
    """Store what a look found; False if another look was stored since this one `seen`."""
    table = alert_states
    adding = insert(table).values(
        tenant=tenant,
        alert_id=place[0],
        period_id=place[1],
        value=value,
        revision=seen.revision + 1,
    )
    if not seen.revision:
        return (await conn.execute(adding.on_conflict_do_nothing())).rowcount == 1
    changing = update(table).filter_by(
        tenant=tenant, alert_id=place[0], period_id=place[1], revision=seen.revision
    )
    changed = await conn.execute(changing.values(value=value, revision=seen.revision + 1))
    return changed.rowcount == 1


async def insert_firings(
    conn: AsyncConnection, tenant: Tenant, alert_id: UUID, firings: Sequence[Firing]
) -> None:
    """Store what an alert tells of a period, whose state this transaction has changed."""
    columns = alert_firings.c
    query = select(columns.threshold_code, columns.step, func.count().label("earlier")).filter_by(
        tenant=tenant, alert_id=alert_id, period_id=firings[0].period_id
    )
    rows = await conn.execute(query.group_by(columns.threshold_code, columns.step))
    counts = {(row.threshold_code, row.step): row.earlier for row in rows}
    await conn.execute(
        insert(alert_firings),
        [
            {
                "tenant": tenant,
                "alert_id": alert_id,
                "period_id": one.period_id,
                "threshold_code": one.crossing.code,
                "step": one.crossing.step,
                "earlier_count": counts.get((one.crossing.code, one.crossing.step), 0),
                "threshold_value": one.crossing.value,
                "value": one.value,
                "usage_start": one.usage.start,
                "usage_end": one.usage.end,
                "triggered_at": one.triggered_at,
            }
            for one in firings
        ],
    )


async def list_firings(conn: AsyncConnection, tenant: Tenant, alert_id: UUID) -> list[Firing]:
    """Return what an alert told last, the newest first."""
    columns = alert_firings.c
    query = select(alert_firings).filter_by(tenant=tenant, alert_id=alert_id)
    order = (columns.triggered_at.desc(), columns.threshold_value.desc())
    return [
        Firing(
            row.period_id,
            Period(row.usage_start.astimezone(UTC), row.usage_end.astimezone(UTC)),
            Crossing(row.threshold_code, row.threshold_value, row.step),
            row.value,
            row.triggered_at.astimezone(UTC),
            row.earlier_count,
        )
        for row in await conn.execute(query.order_by(*order).limit(FIRINGS_MAX))
    ]


async def load_periods_to_look_at(
    conn: AsyncConnection, tenant: Tenant, subscription_ids: Collection[str], now: datetime
) -> dict[str, list[BillingPeriod]]:
    """Return the usage periods of subscriptions that have begun and are not due at `now`."""
    columns = billing_periods.c
    query = select_periods().where(
        columns.tenant == tenant,
        among(columns.subscription_id, subscription_ids),
        columns.kind == PeriodKind.USAGE,
        columns.usage_start <= now,
        (columns.due_at > now) | (columns.usage_end > now),
    )
    found: dict[str, list[BillingPeriod]] = {one: [] for one in subscription_ids}
    for row in await conn.execute(query.order_by(columns.usage_start)):
        found[row.subscription_id].append(read_period(row))
    return found


async def find_next_starts(
    conn: AsyncConnection, tenant: Tenant, subscription_ids: Collection[str], now: datetime
) -> Mapping[str, datetime]:
    """Return when the next usage period of subscriptions starts that are known to have one."""
    columns = billing_periods.c
    query = select(columns.subscription_id, func.min(columns.usage_start).label("start")).where(
        columns.tenant == tenant,
        among(columns.subscription_id, subscription_ids),
        columns.kind == PeriodKind.USAGE,
        columns.usage_start > now,
    )
    rows = await conn.execute(query.group_by(columns.subscription_id))
    return {row.subscription_id: row.start for row in rows}


async def find_to_look(
    conn: AsyncConnection, now: datetime, *, limit: int
) -> Sequence[tuple[Tenant, str]]:
    """Return subscriptions of all tenants of which a period with alerts has started by `now`."""
    columns = alerts.c
    query = select(columns.tenant, columns.subscription_id).where(columns.looks_at <= now)
    rows = await conn.execute(query.distinct().limit(limit))
    return [(Tenant(row.tenant), row.subscription_id) for row in rows]


async def set_looks_at(
    conn: AsyncConnection, tenant: Tenant, subscription_id: str, at: datetime | None
) -> None:
    """Write when the alerts of a subscription are looked at though nothing was noted."""
    own = update(alerts).filter_by(tenant=tenant, subscription_id=subscription_id)
    changed = own.where(alerts.c.looks_at.is_distinct_from(at))
    await conn.execute(changed.values(looks_at=at))


async def count_to_look(conn: AsyncConnection, now: datetime) -> int:
    """Return how many alerts are to be looked at by `now`, as a period has started."""
    query = select(func.count()).select_from(alerts).where(alerts.c.looks_at <= now)
    return int((await conn.execute(query)).scalar_one())


def _read(row: Row[Any]) -> Alert:
    return Alert(
        alert_id=row.alert_id,
        subscription_id=row.subscription_id,
        code=row.code,
        name=row.name,
        measure=AlertMeasure(row.measure),
        meter_code=row.meter_code or "",
        direction=AlertDirection(row.direction),
        thresholds=tuple(Threshold(code, Decimal(value)) for code, value in row.thresholds),
        repeating_step=row.repeating_step,
        created_at=row.created_at.astimezone(UTC),
    )
