"""Reading and writing billing periods."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    Integer,
    Row,
    Select,
    Uuid,
    bindparam,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import DayPeriod, Period
from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.period import (
    BillingPeriod,
    PeriodKind,
    PeriodNotFound,
    PeriodStatus,
    PlannedPeriod,
)
from services.rating.domain.subscription import Subscription
from services.rating.store.carried import later_periods
from services.rating.store.period_rows import add_rows
from services.rating.store.schema import billing_periods, plan_versions, plans

TermDay = tuple[int, UUID, date]  # Tenant, term and day.


@dataclass(frozen=True, slots=True)
class Planned:
    """An open billing period that is to be written."""

    tenant: Tenant
    subscription: Subscription
    term_id: UUID
    period: PlannedPeriod
    held_codes: frozenset[str] = frozenset()
    # Of the leg that prices it; None: the subscription's.
    plan_version_id: UUID | None = None
    time_zone: str = ""


async def insert_periods(conn: AsyncConnection, planned: Iterable[Planned]) -> None:
    """Add the open billing periods `planned`."""
    rows = [
        {
            "tenant": each.tenant,
            "period_id": uuid4(),
            "kind": each.period.kind,
            "subscription_uid": each.subscription.subscription_uid,
            "subscription_id": each.subscription.subscription_id,
            "customer_id": each.subscription.customer_id,
            "term_id": each.term_id,
            "plan_version_id": each.plan_version_id or each.subscription.plan_version_id,
            "currency": each.subscription.currency,
            "billing_entity_code": each.subscription.billing_entity_code,
            "time_zone": each.time_zone or each.subscription.time_zone,
            "status": PeriodStatus.OPEN,
            "renews_at": each.period.renews_at,
            "held_codes": sorted(each.held_codes),
            **windows_of(each.period),
        }
        for each in planned
    ]
    if rows:
        await add_rows(conn, rows)


async def load_period(
    conn: AsyncConnection, tenant: Tenant, period_id: UUID, *, lock: bool = False
) -> BillingPeriod:
    """Return a billing period; locked, its usage and status stay until the transaction ends.

    Raises:
        PeriodNotFound: there is none.
    """
    query = select_periods().where(
        billing_periods.c.tenant == tenant, billing_periods.c.period_id == period_id
    )
    row = (await conn.execute(_locked(query) if lock else query)).one_or_none()
    if row is None:
        raise PeriodNotFound(f"no billing period {period_id}")
    return read_period(row)


async def lock_periods(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, BillingPeriod]:
    """Return billing periods by id, locked as by `load_period`, in the order of their ids.

    Raises:
        PeriodNotFound: one of them does not exist.
    """
    query = select_periods().where(
        billing_periods.c.tenant == tenant, among(billing_periods.c.period_id, period_ids)
    )
    found = {row.period_id: read_period(row) for row in await conn.execute(_locked(query))}
    for period_id in period_ids:
        if period_id not in found:
            raise PeriodNotFound(f"no billing period {period_id}")
    return found


async def load_periods(
    conn: AsyncConnection, period_ids: Collection[UUID]
) -> dict[UUID, BillingPeriod]:
    """Return billing periods of whichever tenants the connection sees, by id."""
    query = select_periods().where(billing_periods.c.period_id.in_(period_ids))
    return {row.period_id: read_period(row) for row in await conn.execute(query)}


async def load_usage_period(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription, at: datetime
) -> BillingPeriod:
    """Return the usage period of `subscription` that holds the instant `at`.

    Raises:
        PeriodNotFound: there is none.
    """
    asked = {"of_tenant": tenant, "of_uid": subscription.subscription_uid, "at": at}
    row = (await conn.execute(_USAGE_PERIOD, asked)).one_or_none()
    if row is None:
        raise PeriodNotFound(
            f"{subscription.subscription_id} has no usage period at {at.isoformat()}"
        )
    return read_period(row)


async def list_usage_periods(
    conn: AsyncConnection, tenant: Tenant, subscription_uid: UUID, within: Period
) -> Sequence[BillingPeriod]:
    """Return the usage periods of a subscription that overlap `within`, in their order."""
    columns = billing_periods.c
    query = (
        select_periods()
        .where(
            columns.tenant == tenant,
            columns.subscription_uid == subscription_uid,
            columns.kind == PeriodKind.USAGE,
            columns.usage_start < within.end,
            columns.usage_end > within.start,
        )
        .order_by(columns.usage_start)
    )
    return [read_period(row) for row in await conn.execute(query)]


async def list_periods(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription_id: str,
    *,
    after: tuple[datetime, str, UUID] | None,
    limit: int,
) -> Sequence[BillingPeriod]:
    """Return up to `limit` periods of all lives of an id, by due time and kind, after keys."""
    columns = billing_periods.c
    query = select_periods().where(
        columns.tenant == tenant, columns.subscription_id == subscription_id
    )
    keys = (columns.due_at, columns.kind, columns.period_id)
    if after is not None:
        query = query.where(tuple_(*keys) > after)
    rows = await conn.execute(query.order_by(*keys).limit(limit))
    return [read_period(row) for row in rows]


async def lock_touched(
    conn: AsyncConnection,
    days: Collection[TermDay],
    recurring: Collection[TermDay] = (),
) -> Sequence[tuple[Tenant, BillingPeriod]]:
    """Lock the usage periods of `days`, given as (tenant, term, day), in the order of their ids.

    And all later ones of the same subscription ids that carry over what changes on days of
    `recurring`. Until the transaction ends none of them can be announced or closed: usage that
    this one adds is either seen by the close, or sees the close. Returns those that were announced:
    of ten thousand that are locked, as a rule none is.
    """
    touched = _days("touched", days)
    which = _holding(touched)
    term_ids = {term_id for _, term_id, _ in days}
    if recurring:
        later = (await conn.execute(later_periods(_days("carrying", recurring)))).all()
        term_ids |= {row.term_id for row in later}
        which |= among(billing_periods.c.period_id, [row.period_id for row in later])
    columns = billing_periods.c
    keys = select(columns.tenant, columns.period_id, columns.status)
    locked = _locked(_of_usage(keys, term_ids, which)).cte("locked")
    query = select(locked.c.period_id).where(locked.c.status != PeriodStatus.OPEN)
    announced = (await conn.execute(query)).scalars().all()
    if not announced:
        return []
    # A statement of its own: one that has waited for a lock sees what was before it elsewhere.
    found = await conn.execute(select_periods().where(among(columns.period_id, announced)))
    return [(Tenant(row.tenant), read_period(row)) for row in found]


async def find_due(
    conn: AsyncConnection, tenant: Tenant, uid: UUID, now: datetime
) -> Sequence[BillingPeriod]:
    """Return the open periods of a subscription that are due by `now`, oldest first."""
    columns = billing_periods.c
    query = select_periods().where(
        columns.tenant == tenant,
        columns.subscription_uid == uid,
        columns.status == PeriodStatus.OPEN,
        columns.due_at <= now,
    )
    order = query.order_by(columns.due_at, columns.usage_start, columns.kind)
    return [read_period(row) for row in await conn.execute(order)]


async def load_touched(
    conn: AsyncConnection, tenant: Tenant, days: Iterable[tuple[UUID, date]]
) -> Sequence[BillingPeriod]:
    """Return the usage periods of `days`, given as (term, day)."""
    asked = [(tenant, term_id, day) for term_id, day in days]
    term_ids = {term for _, term, _ in asked}
    query = _of_usage(select_periods(), term_ids, _holding(_days("touched", asked)))
    return [read_period(row) for row in await conn.execute(query)]


def _of_usage(
    periods: Select[Any], term_ids: Iterable[UUID], which: ColumnElement[bool]
) -> Select[Any]:
    columns = billing_periods.c
    of_terms = among(columns.term_id, sorted(term_ids))
    return periods.where(columns.kind == PeriodKind.USAGE, of_terms, which)


def _holding(touched: Any) -> ColumnElement[bool]:
    """Return that a period holds a day of `touched`."""
    columns = billing_periods.c
    which: ColumnElement[bool] = (
        select(1)
        .select_from(touched)
        .where(
            touched.c.tenant == columns.tenant,
            touched.c.term_id == columns.term_id,
            touched.c.day >= columns.fee_first_day,
            touched.c.day < columns.usage_end_day,
        )
        .exists()
    )
    return which


def _days(name: str, days: Iterable[TermDay]) -> Any:
    """Return days of terms as a table."""
    asked = sorted(set(days))
    return (
        func.unnest(
            literal([tenant for tenant, _, _ in asked], ARRAY(Integer)),
            literal([term for _, term, _ in asked], ARRAY(Uuid)),
            literal([day for _, _, day in asked], ARRAY(Date)),
        )
        .table_valued("tenant", "term_id", "day", name=name)
        .render_derived()
    )


def _locked(query: Select[Any]) -> Select[Any]:
    """Lock the periods that `query` finds, in the order of their ids."""
    ordered = query.order_by(billing_periods.c.period_id)
    return ordered.with_for_update(of=billing_periods, key_share=True)


async def raise_late_version(conn: AsyncConnection, tenant: Tenant, period_id: UUID) -> int:
    """Note that usage came after a locked period was announced; return its new late_version."""
    raising = (
        update(billing_periods)
        .filter_by(tenant=tenant, period_id=period_id)
        .values(late_version=billing_periods.c.late_version + 1)
        .returning(billing_periods.c.late_version)
    )
    return int((await conn.execute(raising)).scalar_one())


async def set_status(
    conn: AsyncConnection, period_ids: Mapping[Tenant, Collection[UUID]], status: PeriodStatus
) -> None:
    """Write the status of locked periods, given by tenant; what was not renewed never is."""
    for tenant, of_tenant in period_ids.items():
        if of_tenant:
            changing = update(billing_periods).filter_by(tenant=tenant)
            which = among(billing_periods.c.period_id, of_tenant)
            await conn.execute(changing.where(which).values(status=status, renews_at=None))


def select_periods() -> Select[Any]:
    """Select billing periods of all tenants, with their plans."""
    return (
        select(
            billing_periods,
            plans.c.code.label("plan_code"),
            plans.c.name.label("plan_name"),
            plan_versions.c.version.label("plan_version"),
        )
        .join(
            plan_versions,
            (plan_versions.c.tenant == billing_periods.c.tenant)
            & (plan_versions.c.plan_version_id == billing_periods.c.plan_version_id),
        )
        .join(
            plans,
            (plans.c.tenant == plan_versions.c.tenant)
            & (plans.c.code == plan_versions.c.plan_code),
        )
    )


_USAGE_PERIOD = select_periods().where(
    billing_periods.c.tenant == bindparam("of_tenant"),
    billing_periods.c.subscription_uid == bindparam("of_uid"),
    billing_periods.c.kind == PeriodKind.USAGE,
    billing_periods.c.usage_start <= bindparam("at"),
    billing_periods.c.usage_end > bindparam("at"),
)


def read_period(row: Row[Any]) -> BillingPeriod:
    """Return the billing period of a row of `select_periods`."""
    return BillingPeriod(
        period_id=row.period_id,
        kind=PeriodKind(row.kind),
        billing_entity_code=row.billing_entity_code,
        subscription_uid=row.subscription_uid,
        subscription_id=row.subscription_id,
        customer_id=row.customer_id,
        term_id=row.term_id,
        plan_version_id=row.plan_version_id,
        plan_code=row.plan_code,
        plan_name=row.plan_name,
        plan_version=row.plan_version,
        currency=row.currency,
        time_zone=row.time_zone,
        whole=DayPeriod(row.whole_first_day, row.whole_end_day),
        fee_days=DayPeriod(row.fee_first_day, row.fee_end_day),
        usage=Period(row.usage_start.astimezone(UTC), row.usage_end.astimezone(UTC)),
        due_at=row.due_at.astimezone(UTC),
        status=PeriodStatus(row.status),
        late_version=row.late_version,
        held_codes=frozenset(row.held_codes),
        counted=DayPeriod(row.fee_first_day, row.usage_end_day),
        paused=_read_stretches(row.paused_days),
    )


def _read_stretches(days: Sequence[date]) -> tuple[DayPeriod, ...]:
    return tuple(DayPeriod(*pair) for pair in zip(days[::2], days[1::2], strict=True))


def windows_of(planned: PlannedPeriod) -> dict[str, Any]:
    """Return the columns of what a period bills, and when it is due."""
    stretch = planned.stretch
    return {
        "whole_first_day": stretch.whole.first_day,
        "whole_end_day": stretch.whole.end_day,
        "fee_first_day": stretch.fee_days.first_day,
        "fee_end_day": stretch.fee_days.end_day,
        "usage_end_day": stretch.usage_end_day or stretch.fee_days.end_day,
        "paused_days": [day for days in stretch.paused for day in (days.first_day, days.end_day)],
        "usage_start": stretch.usage.start,
        "usage_end": stretch.usage.end,
        "due_at": planned.due_at,
    }
