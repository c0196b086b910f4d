"""Reading plan versions to try, and the periods of many subscriptions to try them on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import Interval, IntervalUnit
from services.rating.domain.simulation import Candidate, StoredVersion
from services.rating.store.periods import read_period, select_periods
from services.rating.store.plan_body import read_body
from services.rating.store.schema import billing_periods, plan_versions, plans

Stretch = tuple[UUID, date]  # A subscription's life, and the first day of the week or month.

_KEYS = (billing_periods.c.subscription_uid, billing_periods.c.whole_first_day)


@dataclass(frozen=True, slots=True)
class Selection:
    """Periods within [start, end) of `customer_ids` on the plan `plan_code`.

    () and "" stand for all of them.
    """

    start: datetime
    end: datetime
    customer_ids: Sequence[str]
    plan_code: str


async def find_candidates(
    conn: AsyncConnection, tenant: Tenant, wanted: Collection[StoredVersion]
) -> dict[StoredVersion, Candidate]:
    """Return those of the `wanted` versions that there are.

    The newest version of each plan named is among them, as version 0.
    """
    columns = plan_versions.c
    newest = func.max(columns.version).over(partition_by=columns.plan_code).label("newest")
    of_plans = (
        select(plan_versions, newest)
        .where(
            columns.tenant == tenant,
            among(columns.plan_code, {one.plan_code for one in wanted}),
            columns.subscription_uid.is_(None),
        )
        .subquery()
    )
    of_plan = (plans.c.tenant == of_plans.c.tenant) & (plans.c.code == of_plans.c.plan_code)
    asked = among(of_plans.c.version, {one.version for one in wanted})
    query = (
        select(of_plans, plans.c.name, plans.c.currency)
        .join(plans, of_plan)
        .where(asked | (of_plans.c.version == of_plans.c.newest))
    )
    found = {}
    for row in await conn.execute(query):
        candidate = Candidate(row.name, row.currency, read_body(row))
        found[StoredVersion(row.plan_code, row.version)] = candidate
        if row.version == row.newest:
            found[StoredVersion(row.plan_code, 0)] = candidate
    return found


async def find_other(
    conn: AsyncConnection,
    tenant: Tenant,
    selection: Selection,
    *,
    currency: str,
    interval: Interval,
) -> tuple[str, str, str] | None:
    """Return a subscription of another currency or interval: its id and both of them.

    One whose usage is billed by the month is always another one. None if there is no such period
    in the selection.
    """
    own_unit = plan_versions.c.body["interval_unit"].astext
    own_count = plan_versions.c.body["interval_count"].as_integer()
    own_monthly = plan_versions.c.body["bill_usage_monthly"].as_boolean()
    strange = (
        (billing_periods.c.currency != currency)
        | (own_unit != str(interval.unit))
        | (own_count != interval.count)
        | own_monthly
    )
    query = (
        select(
            billing_periods.c.subscription_id,
            billing_periods.c.currency,
            own_unit.label("own_unit"),
            own_count.label("own_count"),
            own_monthly.label("own_monthly"),
        )
        .join(
            plan_versions,
            (plan_versions.c.tenant == billing_periods.c.tenant)
            & (plan_versions.c.plan_version_id == billing_periods.c.plan_version_id),
        )
        .where(*_selected(tenant, selection), strange)
        .order_by(billing_periods.c.subscription_id)
        .limit(1)
    )
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        return None
    own = str(Interval(IntervalUnit(row.own_unit), row.own_count))
    usage = ", its usage by the month" if row.own_monthly else ""
    return row.subscription_id, row.currency, own + usage


async def load_bounds(
    conn: AsyncConnection, tenant: Tenant, selection: Selection, *, every: int
) -> list[Stretch]:
    """Return every so manieth week or month of the selection, by subscription and first day."""
    keys = select_periods().where(*_selected(tenant, selection)).with_only_columns(*_KEYS)
    stretches = keys.distinct().subquery()
    place = func.row_number().over(order_by=stretches.c).label("place")
    placed = select(stretches, place).subquery()
    query = select(placed).where(placed.c.place % every == 0).order_by(placed.c.place)
    return [(row.subscription_uid, row.whole_first_day) for row in await conn.execute(query)]


async def load_stretches(
    conn: AsyncConnection,
    tenant: Tenant,
    selection: Selection,
    *,
    after: Stretch | None,
    up_to: Stretch | None,
) -> Sequence[BillingPeriod]:
    """Return periods, one for each week or month, by subscription and first day.

    It is the one that bills the usage; without one that of the base fee, or of fixed charges.
    """
    columns = billing_periods.c
    query = select_periods().where(*_selected(tenant, selection))
    if after is not None:
        query = query.where(tuple_(*_KEYS) > after)
    if up_to is not None:
        query = query.where(tuple_(*_KEYS) <= up_to)
    usage_first = (columns.kind == PeriodKind.USAGE).desc()
    query = query.distinct(*_KEYS).order_by(*_KEYS, usage_first, columns.kind)
    return [read_period(row) for row in await conn.execute(query)]


async def load_fee_periods(
    conn: AsyncConnection, tenant: Tenant, stretches: Collection[BillingPeriod]
) -> dict[tuple[Stretch, PeriodKind], BillingPeriod]:
    """Return the periods that bill the base fees, and the fixed charges in advance."""
    columns = billing_periods.c
    query = select_periods().where(
        columns.tenant == tenant,
        columns.kind.in_([PeriodKind.BASE, PeriodKind.FIXED]),
        among(columns.subscription_uid, {one.subscription_uid for one in stretches}),
        among(columns.whole_first_day, {one.whole.first_day for one in stretches}),
    )
    found = [read_period(row) for row in await conn.execute(query)]
    return {(stretch_of(one), one.kind): one for one in found}


def stretch_of(period: BillingPeriod) -> Stretch:
    """Return the key by which `load_stretches` orders."""
    return period.subscription_uid, period.whole.first_day


def _selected(tenant: Tenant, selection: Selection) -> list[ColumnElement[bool]]:
    columns = billing_periods.c
    chosen: list[Any] = [
        columns.tenant == tenant,
        columns.usage_start >= selection.start,
        columns.usage_end <= selection.end,
    ]
    if selection.customer_ids:
        chosen.append(among(columns.customer_id, selection.customer_ids))
    if selection.plan_code:
        chosen.append(plan_versions.c.plan_code == selection.plan_code)
    return chosen
