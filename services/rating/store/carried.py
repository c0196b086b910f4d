"""Reading what recurring meters counted before a period: in its term, and in earlier ones.

Earlier terms are all that began before it under the same subscription id, also in another life of
it; and the early ones of lives that had started by then. The first leg stands for a term, and for
an early one, which has no other. The connection decides of whose rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Date,
    DateTime,
    Integer,
    Table,
    Text,
    Uuid,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.cell import Cell, Presence
from services.rating.domain.event import Moment
from services.rating.domain.period import BillingPeriod
from services.rating.store.cell_parts import ADDED, MOMENT, add_part
from services.rating.store.schema import billing_periods, subscriptions, terms
from services.rating.store.usage_schema import cell_levels, cell_values, cells

Earlier = dict[UUID, dict[UUID, list[Cell]]]
Place = tuple[UUID, UUID, bytes]  # A period, a meter, and dimension values by their key.


async def load_earlier(
    conn: AsyncConnection,
    periods: Sequence[tuple[Tenant, BillingPeriod]],
    meter_ids: Collection[UUID],
) -> Earlier:
    """Return the usage of meters before each of `periods`, by period and meter.

    Each combination of dimension values is one cell of all that time, with what a level needs.
    """
    found: Earlier = {}
    if not periods or not meter_ids:
        return found
    asked = _asked(periods)
    holders: dict[Place, Cell] = {}
    for row in await conn.execute(_sums(asked, meter_ids)):
        cell = Cell(
            dimensions=tuple(row.dimensions),
            event_count=int(row.event_count),
            total=row.total,
            in_log=row.in_log,
        )
        holders[row.period_id, row.meter_id, bytes(row.dimensions_key)] = cell
        found.setdefault(row.period_id, {}).setdefault(row.meter_id, []).append(cell)
    for row in await conn.execute(_stays(asked, meter_ids)):
        holder = holders.get((row.period_id, row.meter_id, bytes(row.dimensions_key)))
        if holder is not None:
            holder.add_value(bytes(row.value_key), _presence(row))
    for row in await conn.execute(_last_levels(asked, meter_ids)):
        key = (row.period_id, row.meter_id, bytes(row.dimensions_key))
        add_part(cell_levels, holders.get(key), row)
    return found


def later_periods(touched: Any) -> Any:
    """Select terms and ids of the periods that begin after a day of `touched`.

    Those of the same subscription ids: usage of the day, given as (tenant, term, day), is among
    what they carry.
    """
    later = billing_periods.alias("later")
    later_start = later.c.usage_start > terms.c.starts_at
    same_term = (later.c.term_id == touched.c.term_id) & (later.c.fee_first_day > touched.c.day)
    begins = case((terms.c.early, later.c.usage_start >= terms.c.ends_at), else_=later_start)
    later_term = (later.c.term_id != touched.c.term_id) & begins
    return (
        select(later.c.term_id, later.c.period_id)
        .select_from(touched)
        .join(terms, (terms.c.tenant == touched.c.tenant) & (terms.c.term_id == touched.c.term_id))
        .join(
            subscriptions,
            (subscriptions.c.tenant == terms.c.tenant)
            & (subscriptions.c.subscription_uid == terms.c.subscription_uid),
        )
        .join(
            later,
            (later.c.tenant == subscriptions.c.tenant)
            & (later.c.subscription_id == subscriptions.c.subscription_id),
        )
        .where(terms.c.first_leg, same_term | later_term)
    )


def _sums(asked: Any, meter_ids: Collection[UUID]) -> Any:
    key = (asked.c.period_id, cells.c.meter_id, cells.c.dimensions_key, cells.c.dimensions)
    sums = (
        func.sum(cells.c.event_count).label("event_count"),
        func.sum(cells.c.total).label("total"),
        func.bool_or(cells.c.in_log).label("in_log"),
    )
    rows = select(*key, *sums).select_from(_before(cells, asked))
    return rows.where(among(cells.c.meter_id, meter_ids)).group_by(*key)


def _stays(asked: Any, meter_ids: Collection[UUID]) -> Any:
    """Query the last operation on each distinct value, and when its last stay has begun.

    That is the first moment at which it was added on a day behind the last one that it was gone at
    the end of.
    """
    columns = cell_values.c
    key = (asked.c.period_id, columns.meter_id, columns.dimensions_key, columns.value_key)
    at = _moment_of(columns, MOMENT)
    gone = func.max(at).filter(columns.present.is_(False)).over(partition_by=key)
    rows = select(
        *key,
        at.label("at"),
        columns.present,
        _moment_of(columns, ADDED).label("added"),
        columns.added_time_us,
        gone.label("gone"),
    ).select_from(_before(cell_values, asked))
    days = rows.where(among(columns.meter_id, meter_ids)).subquery("days")
    of_value = [days.c[each.name] for each in key]
    stays = days.c.added_time_us.is_not(None) & (days.c.gone.is_(None) | (days.c.at > days.c.gone))
    return select(
        *of_value,
        func.max(days.c.at).label("at"),
        func.max(days.c.gone).label("gone"),
        func.min(days.c.added).filter(stays).label("added"),
    ).group_by(*of_value)


def _moment_of(columns: Any, names: Sequence[str]) -> Any:
    return array([cast(columns[name], BigInteger) for name in names])


def _presence(row: Any) -> Presence:
    present = row.gone is None or row.at > row.gone
    return Presence(Moment(*row.at), present, None if row.added is None else Moment(*row.added))


def _last_levels(asked: Any, meter_ids: Collection[UUID]) -> Any:
    columns = cell_levels.c
    key = (asked.c.period_id, columns.meter_id, columns.dimensions_key)
    latest = [columns[name].desc() for name in MOMENT]
    rows = select(cell_levels, asked.c.period_id).select_from(_before(cell_levels, asked))
    return rows.where(among(columns.meter_id, meter_ids)).distinct(*key).order_by(*key, *latest)


def _before(table: Table, asked: Any) -> Any:
    """Join the periods `asked` with the rows of `table` that lie before them."""
    begun = terms.c.starts_at < asked.c.starts_at
    started = case((terms.c.early, terms.c.ends_at <= asked.c.starts_at), else_=begun)
    earlier_term = (terms.c.term_id != asked.c.term_id) & started
    same_term = (terms.c.term_id == asked.c.term_id) & (table.c.day < asked.c.first_day)
    of_id = (subscriptions.c.tenant == asked.c.tenant) & (
        subscriptions.c.subscription_id == asked.c.subscription_id
    )
    of_subscription = (
        (terms.c.tenant == subscriptions.c.tenant)
        & (terms.c.subscription_uid == subscriptions.c.subscription_uid)
        & terms.c.first_leg
    )
    of_term = (table.c.tenant == terms.c.tenant) & (table.c.term_id == terms.c.term_id)
    return (
        asked.join(subscriptions, of_id)
        .join(terms, of_subscription)
        .join(table, of_term & (earlier_term | same_term))
    )


def _asked(periods: Sequence[tuple[Tenant, BillingPeriod]]) -> Any:
    rows = [
        (
            tenant,
            period.period_id,
            period.subscription_id,
            period.term_id,
            period.fee_days.first_day,
            period.usage.start,
        )
        for tenant, period in periods
    ]
    kinds: tuple[Any, ...] = (Integer, Uuid, Text, Uuid, Date, DateTime(timezone=True))
    arrays = [
        literal(list(values), ARRAY(kind))
        for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)
    ]
    return (
        func.unnest(*arrays)
        .table_valued(
            "tenant",
            "period_id",
            "subscription_id",
            "term_id",
            "first_day",
            "starts_at",
            name="asked",
        )
        .render_derived()
    )
