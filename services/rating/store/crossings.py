"""Reading and writing what usage thresholds announced, and what lifetime usage is made of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.errors import NotFound
from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.fee import Fee, FeeKey, FeeKind
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.thresholds import Crossed
from services.rating.store.periods import read_period, select_periods
from services.rating.store.plan_body import read_rows, write_rows
from services.rating.store.schema import billing_periods, closed_fees, subscriptions
from services.rating.store.threshold_schema import threshold_crossings

OF_USAGE = (FeeKind.USAGE, FeeKind.MINIMUM, FeeKind.CORRECTION)


class ThresholdCrossingNotFound(NotFound):
    """The tenant has no such crossing of a threshold."""

    reason = "THRESHOLD_CROSSING_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Crossing:
    """That usage of a period crossed thresholds, and what all of it cost then."""

    crossing_id: UUID
    period_id: UUID
    subscription_id: str
    currency: str
    sequence: int
    plan_version_id: UUID
    crossed_at: datetime
    crossed: tuple[Crossed, ...]
    lifetime_amount: Decimal  # Currency units.
    amount_minor: int
    fees: tuple[Fee, ...]


async def insert_crossing(conn: AsyncConnection, tenant: Tenant, crossing: Crossing) -> None:
    """Store a crossing of a locked period."""
    await conn.execute(
        insert(threshold_crossings).values(
            tenant=tenant,
            period_id=crossing.period_id,
            sequence=crossing.sequence,
            crossing_id=crossing.crossing_id,
            subscription_id=crossing.subscription_id,
            currency=crossing.currency,
            plan_version_id=crossing.plan_version_id,
            crossed_at=crossing.crossed_at,
            crossed=[[str(one.amount), one.repeats] for one in crossing.crossed],
            lifetime_amount=crossing.lifetime_amount,
            amount_minor=crossing.amount_minor,
            fees=[_write_fee(fee) for fee in crossing.fees],
        )
    )


async def load_crossing(conn: AsyncConnection, tenant: Tenant, crossing_id: UUID) -> Crossing:
    """Return a crossing.

    Raises:
        ThresholdCrossingNotFound: there is none.
    """
    query = select(threshold_crossings).filter_by(tenant=tenant, crossing_id=crossing_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise ThresholdCrossingNotFound(f"no crossing of a threshold {crossing_id}")
    return _read(row)


async def list_crossings(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    subscription_id: str,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Crossing]:
    """Return crossings by time, after those keys; of one subscription if one is named."""
    columns = threshold_crossings.c
    keys = (columns.crossed_at, columns.crossing_id)
    query = select(threshold_crossings).filter_by(tenant=tenant).order_by(*keys).limit(limit)
    if subscription_id:
        query = query.where(columns.subscription_id == subscription_id)
    if after is not None:
        query = query.where(tuple_(*keys) > after)
    return [_read(row) for row in await conn.execute(query)]


async def load_last_crossings(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[UUID, Crossing]:
    """Return the last crossing of each of some periods that have any, by period."""
    columns = threshold_crossings.c
    query = (
        select(threshold_crossings)
        .where(columns.tenant == tenant, among(columns.period_id, period_ids))
        .distinct(columns.period_id)
        .order_by(columns.period_id, columns.sequence.desc())
    )
    return {row.period_id: _read(row) for row in await conn.execute(query)}


async def load_unbilled_periods(
    conn: AsyncConnection, tenant: Tenant, subscription_ids: Collection[str], now: datetime
) -> dict[str, list[BillingPeriod]]:
    """Return the usage periods that have begun and are not closed, by subscription id, in order."""
    columns = billing_periods.c
    query = select_periods().where(
        columns.tenant == tenant,
        among(columns.subscription_id, subscription_ids),
        columns.kind == PeriodKind.USAGE,
        columns.status.in_([PeriodStatus.OPEN, PeriodStatus.DUE]),
        columns.usage_start <= now,
    )
    found: dict[str, list[BillingPeriod]] = {one: [] for one in subscription_ids}
    for row in await conn.execute(query.order_by(columns.usage_start)):
        found[row.subscription_id].append(read_period(row))
    return found


async def load_invoiced_minor(
    conn: AsyncConnection, tenant: Tenant, subscription_ids: Collection[str]
) -> dict[str, int]:
    """Return what closed periods froze of usage over all lives of ids, of those with any.

    Instant fees that were billed before their usage period has closed are left out: they are in
    its price.
    """
    columns = billing_periods.c
    usage = billing_periods.alias("usage")
    of_open = (
        select(1)
        .where(
            usage.c.tenant == columns.tenant,
            usage.c.term_id == columns.term_id,
            usage.c.kind == PeriodKind.USAGE,
            usage.c.whole_first_day == columns.whole_first_day,
            usage.c.status != PeriodStatus.CLOSED,
        )
        .exists()
    )
    query = (
        select(columns.subscription_id, func.sum(closed_fees.c.amount_minor).label("minor"))
        .join(
            closed_fees,
            (closed_fees.c.tenant == columns.tenant)
            & (closed_fees.c.period_id == columns.period_id),
        )
        .where(
            columns.tenant == tenant,
            among(columns.subscription_id, subscription_ids),
            columns.kind.in_([PeriodKind.USAGE, PeriodKind.INSTANT]),
            closed_fees.c.kind.in_(OF_USAGE),
            ~of_open,
        )
        .group_by(columns.subscription_id)
    )
    return {row.subscription_id: int(row.minor) for row in await conn.execute(query)}


async def set_historical(
    conn: AsyncConnection, tenant: Tenant, subscription_uid: UUID, amount: Decimal
) -> None:
    """Write what the id of a new subscription had used before, in currency units."""
    mine = update(subscriptions).filter_by(tenant=tenant, subscription_uid=subscription_uid)
    await conn.execute(mine.values(historical_usage=amount))


async def load_historical(
    conn: AsyncConnection, tenant: Tenant, subscription_ids: Collection[str]
) -> dict[str, Decimal]:
    """Return what subscription ids had used before, in currency units, over all their lives."""
    columns = subscriptions.c
    query = (
        select(columns.subscription_id, func.sum(columns.historical_usage).label("amount"))
        .where(
            columns.tenant == tenant,
            among(columns.subscription_id, subscription_ids),
            columns.historical_usage.is_not(None),
        )
        .group_by(columns.subscription_id)
    )
    return {row.subscription_id: row.amount for row in await conn.execute(query)}


def _read(row: Row[Any]) -> Crossing:
    return Crossing(
        crossing_id=row.crossing_id,
        period_id=row.period_id,
        subscription_id=row.subscription_id,
        currency=row.currency,
        sequence=row.sequence,
        plan_version_id=row.plan_version_id,
        crossed_at=row.crossed_at.astimezone(UTC),
        crossed=tuple(Crossed(Decimal(amount), repeats) for amount, repeats in row.crossed),
        lifetime_amount=row.lifetime_amount,
        amount_minor=row.amount_minor,
        fees=tuple(_read_fee(fee) for fee in row.fees),
    )


def _write_fee(fee: Fee) -> dict[str, Any]:
    return {
        "kind": fee.key.kind,
        "charge_code": fee.key.charge_code,
        "filter_code": fee.key.filter_code,
        "group_values": fee.key.group_values,
        "meter_code": fee.meter_code,
        "display_name": fee.display_name,
        "units": str(fee.units),
        "event_count": fee.event_count,
        "exact_amount": str(fee.exact_amount),
        "amount_minor": fee.amount_minor,
        "breakdown": write_rows(fee.rows),
        "tax_codes": fee.tax_codes,
    }


def _read_fee(body: dict[str, Any]) -> Fee:
    groups: Sequence[tuple[str, str]] = body["group_values"]
    return Fee(
        key=FeeKey(
            FeeKind(body["kind"]),
            body["charge_code"],
            body["filter_code"],
            tuple((key, value) for key, value in groups),
        ),
        meter_code=body["meter_code"],
        display_name=body["display_name"],
        units=Decimal(body["units"]),
        event_count=body["event_count"],
        exact_amount=Decimal(body["exact_amount"]),
        amount_minor=body["amount_minor"],
        rows=read_rows(body["breakdown"]),
        tax_codes=tuple(body["tax_codes"]),
    )
