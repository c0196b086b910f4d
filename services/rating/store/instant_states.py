"""How instant charges stand in usage periods, and the bills of what they cost before the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, literal, null, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.event import Moment
from services.rating.domain.fee import FeeKey, FeeKind
from services.rating.domain.instant_bill import Bill
from services.rating.domain.instant_charge import Settle
from services.rating.domain.instant_state import Standing, State, Unbilled
from services.rating.domain.percentage import PercentageSum
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.store.closes import group_key
from services.rating.store.instant_schema import PART, instant_bills, instant_fees, instant_states
from services.rating.store.schema import billing_periods

Place = tuple[UUID, FeeKey]  # A usage period, and a bucket and group of a charge.


async def load_states(
    conn: AsyncConnection, tenant: Tenant, period_ids: Collection[UUID]
) -> dict[Place, State]:
    """Return the states of usage periods. Whoever changes them has locked the periods."""
    query = select(instant_states).filter_by(tenant=tenant)
    rows = await conn.execute(query.where(among(instant_states.c.period_id, period_ids)))
    return {(row.period_id, read_key(row)): _read_state(row) for row in rows}


def states_of(
    states: Mapping[Place, State], period_id: UUID, charge_code: str
) -> dict[FeeKey, State]:
    """Return those of `states` that are of a charge in a usage period."""
    return {
        key: state
        for (of_period, key), state in states.items()
        if of_period == period_id and key.charge_code == charge_code
    }


async def save_states(conn: AsyncConnection, tenant: Tenant, states: Mapping[Place, State]) -> None:
    """Write the states of places, in place of those they had."""
    rows = [
        {"tenant": tenant, "period_id": period_id, **key_row(key), **_state_row(state)}
        for (period_id, key), state in states.items()
    ]
    if not rows:
        return
    writing = insert(instant_states)
    key = ["tenant", "period_id", *PART]
    changed = {name: writing.excluded[name] for name in rows[0] if name not in key}
    await conn.execute(writing.on_conflict_do_update(index_elements=key, set_=changed), rows)


async def find_open_bills(
    conn: AsyncConnection, tenant: Tenant, usage: Collection[BillingPeriod]
) -> set[UUID]:
    """Return the open periods that bill instant fees of `usage` periods day by day."""
    columns = billing_periods.c
    query = select(columns.period_id).filter_by(
        tenant=tenant, kind=PeriodKind.INSTANT, status=PeriodStatus.OPEN
    )
    of_usage = among(columns.term_id, {one.term_id for one in usage})
    by_day = columns.bills.startswith(f"{Settle.DAILY}/")
    return set((await conn.execute(query.where(of_usage, by_day))).scalars())


async def find_open_bill(
    conn: AsyncConnection, tenant: Tenant, usage: BillingPeriod, bills: str
) -> UUID | None:
    """Return the open, locked period that bills `bills` of a usage period; None without one."""
    query = select(billing_periods.c.period_id).filter_by(
        tenant=tenant,
        subscription_uid=usage.subscription_uid,
        kind=PeriodKind.INSTANT,
        whole_first_day=usage.whole.first_day,
        bills=bills,
        status=PeriodStatus.OPEN,
    )
    found: UUID | None = (await conn.execute(query)).scalar_one_or_none()
    return found


async def insert_bill_periods(
    conn: AsyncConnection,
    tenant: Tenant,
    usage: BillingPeriod,
    period_ids: Mapping[str, UUID],
    *,
    due_at: datetime,
) -> None:
    """Add open periods that bill instant fees of a `usage` period, by what they bill of them."""
    of_usage = {
        "tenant": tenant,
        "kind": PeriodKind.INSTANT,
        "subscription_uid": usage.subscription_uid,
        "subscription_id": usage.subscription_id,
        "customer_id": usage.customer_id,
        "term_id": usage.term_id,
        "plan_version_id": usage.plan_version_id,
        "currency": usage.currency,
        "time_zone": usage.time_zone,
        "billing_entity_code": usage.billing_entity_code,
        "whole_first_day": usage.whole.first_day,
        "whole_end_day": usage.whole.end_day,
        "fee_first_day": usage.fee_days.first_day,
        "fee_end_day": usage.fee_days.end_day,
        "usage_end_day": usage.usage_days.end_day,
        "usage_start": usage.usage.start,
        "usage_end": usage.usage.end,
        "due_at": due_at,
        "status": PeriodStatus.OPEN,
    }
    rows = [{**of_usage, "bills": bills, "period_id": one} for bills, one in period_ids.items()]
    if rows:
        await conn.execute(insert(billing_periods), rows)


async def add_bills(
    conn: AsyncConnection,
    tenant: Tenant,
    usage_period_id: UUID,
    added: Iterable[tuple[UUID, Bill]],
) -> None:
    """Add to what open, locked periods bill of a usage period; each bill goes with its period."""
    rows = [
        {
            "tenant": tenant,
            "period_id": period_id,
            "usage_period_id": usage_period_id,
            **key_row(bill.key),
            "meter_code": bill.meter_code,
            "display_name": bill.display_name,
            "units": bill.units,
            "event_count": bill.event_count,
            "rated": bill.rated,
            "amount_minor": bill.amount_minor,
        }
        for period_id, bill in added
    ]
    if not rows:
        return
    writing, columns = insert(instant_bills), instant_bills.c
    sums = ("units", "event_count", "rated", "amount_minor")
    summed = {name: columns[name] + writing.excluded[name] for name in sums}
    key = ["tenant", "period_id", *PART]
    await conn.execute(writing.on_conflict_do_update(index_elements=key, set_=summed), rows)


async def load_bills(
    conn: AsyncConnection, periods: Collection[BillingPeriod]
) -> dict[UUID, list[Bill]]:
    """Return what `periods` bill of instant fees, and of usage periods what others bill of them.

    And what of them is paid fee by fee. The connection decides of whose rows.
    """
    found: dict[UUID, list[Bill]] = {}
    for kind, column in (
        (PeriodKind.INSTANT, instant_bills.c.period_id),
        (PeriodKind.USAGE, instant_bills.c.usage_period_id),
    ):
        asked = {period.period_id for period in periods if period.kind is kind}
        if not asked:
            continue
        query = select(instant_bills, column.label("of_period")).where(among(column, asked))
        order = (instant_bills.c[name] for name in ("period_id", *PART))
        for row in await conn.execute(query.order_by(*order)):
            found.setdefault(row.of_period, []).append(_read_bill(row))
    usage = {period.period_id for period in periods if period.kind is PeriodKind.USAGE}
    if usage:
        for row in await conn.execute(_paid_alone(usage)):
            found.setdefault(row.period_id, []).append(_read_bill(row))
    return found


def _paid_alone(usage: Collection[UUID]) -> Select[Any]:
    """Select the sums of fees that go on no invoice, as bills."""
    columns = instant_fees.c
    part = [columns[name] for name in ("period_id", *PART)]
    return (
        select(
            *part,
            columns.group_values,
            literal("").label("meter_code"),
            literal("").label("display_name"),
            func.sum(columns.units).label("units"),
            func.count().filter(columns.shard >= 0).label("event_count"),
            func.sum(columns.exact_amount).label("rated"),
            null().label("amount_minor"),
        )
        .where(among(columns.period_id, usage), columns.payment_status.is_not(None))
        .group_by(*part, columns.group_values)
        .order_by(*part)
    )


def key_row(key: FeeKey) -> dict[str, Any]:
    """Return the columns of a bucket and group."""
    return {
        "charge_code": key.charge_code,
        "filter_code": key.filter_code,
        "group_key": group_key(key),
        "group_values": key.group_values,
    }


def read_key(row: Row[Any]) -> FeeKey:
    """Return the bucket and group of a row."""
    values = tuple((key, value) for key, value in row.group_values)
    return FeeKey(FeeKind.USAGE, row.charge_code, row.filter_code, values)


def _state_row(state: State) -> dict[str, Any]:
    standing, unbilled = state.standing, state.unbilled
    assert standing.last is not None, "states are those of events"
    time, shard, number, place = standing.last
    return {
        "last_time_us": time,
        "last_shard": shard,
        "last_number": number,
        "last_place": place,
        "event_count": standing.sums.event_count,
        "units": standing.sums.units,
        "amount": standing.amount,
        "freed": standing.sums.freed,
        "free_events": standing.sums.free_events,
        "alone": standing.sums.alone,
        "paid": standing.paid,
        "unbilled": unbilled.exact,
        "unbilled_units": unbilled.units,
        "unbilled_count": unbilled.event_count,
        "unbilled_carried": unbilled.carried,
    }


def _read_state(row: Row[Any]) -> State:
    sums = PercentageSum(row.event_count, row.units, row.freed, row.free_events, row.alone)
    last = Moment(row.last_time_us, row.last_shard, row.last_number, row.last_place)
    return State(
        Standing(last, sums, row.amount, row.paid),
        Unbilled(row.unbilled, row.unbilled_units, row.unbilled_count, row.unbilled_carried),
    )


def _read_bill(row: Row[Any]) -> Bill:
    return Bill(
        key=read_key(row),
        meter_code=row.meter_code,
        display_name=row.display_name,
        units=row.units,
        event_count=row.event_count,
        rated=row.rated,
        amount_minor=row.amount_minor,
    )
