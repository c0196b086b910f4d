"""Reading the usage of many periods with their days already merged, so that little is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Integer, Uuid, any_, bindparam, cast, func, select, text
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.cell import Cell, Presence
from services.rating.domain.event import Moment
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.period import BillingPeriod
from services.rating.store.cell_parts import MOMENT
from services.rating.store.cells import ASKED, days_of, load_cells, on_days
from services.rating.store.usage_schema import cell_values, cells

# Cells of several days are merged by adding up, and by the least and greatest; any other's are
# read by day.
MERGED = {
    Aggregation.AVG,
    Aggregation.COUNT,
    Aggregation.MAX,
    Aggregation.MIN,
    Aggregation.SUM,
    Aggregation.UNIQUE_COUNT,
}

# Enough to group the cells of some hundred periods without sorting them on disk.
WORK_MEM = text("SET LOCAL work_mem = '32MB'")

OF_METERS = any_(bindparam("of_meters", type_=ARRAY(Uuid)))

CellsOfPeriods = dict[UUID, dict[UUID, list[Cell]]]


async def load_merged_cells(
    conn: AsyncConnection,
    tenant: Tenant,
    periods: Sequence[BillingPeriod],
    meters: Collection[Meter],
    *,
    by_day: Collection[str] = (),
) -> CellsOfPeriods:
    """Return the usage of usage `periods` that `meters` counted, by period and meter.

    It is what `load_cells` gives, but the days of a period may be one cell, other than those of
    meters with a code of `by_day`, and nothing tells of the folds.
    """
    alike = [meter for meter in meters if _is_merged(meter) and meter.code not in by_day]
    merged = {meter.meter_id: meter for meter in alike}
    others = [meter.meter_id for meter in meters if meter.meter_id not in merged]
    found = await load_cells(conn, tenant, periods, meter_ids=others) if others else {}
    if not merged or not periods:
        return found
    if len(periods) > 1:
        await conn.execute(WORK_MEM)
    asked = days_of(tenant, periods)
    distinct = {one for one in merged if merged[one].aggregation is Aggregation.UNIQUE_COUNT}
    holders: dict[tuple[UUID, UUID, bytes], Cell] = {}
    for row in await conn.execute(_MERGING, {**asked, "of_meters": list(merged)}):
        cell = _read_merged(row)
        found.setdefault(row.period_id, {}).setdefault(row.meter_id, []).append(cell)
        if row.meter_id in distinct:
            holders[row.period_id, row.meter_id, bytes(row.dimensions_key)] = cell
    if holders:
        await _add_values(conn, {**asked, "of_meters": list(distinct)}, holders)
    return found


def _is_merged(meter: Meter) -> bool:
    return meter.aggregation in MERGED and meter.day_bucket is None


async def _add_values(
    conn: AsyncConnection,
    asked: Mapping[str, Any],
    holders: Mapping[tuple[UUID, UUID, bytes], Cell],
) -> None:
    for row in await conn.execute(_LAST_OPERATIONS, asked):
        holder = holders.get((row.period_id, row.meter_id, bytes(row.dimensions_key)))
        if holder is None:  # A fold has added it since its cell would have been read.
            continue
        *moment, present = row.last
        holder.values[bytes(row.value_key)] = Presence(Moment(*moment), present == 1)


def _merging() -> Any:
    columns = cells.c
    key = (ASKED.c.period_id, columns.meter_id, columns.dimensions_key)
    return (
        select(
            *key,
            func.any_value(columns.dimensions).label("dimensions"),
            func.sum(columns.event_count).label("event_count"),
            func.sum(columns.total).label("total"),
            func.max(columns.greatest).label("greatest"),
            func.min(columns.least).label("least"),
            func.sum(columns.amount).label("amount"),
            func.max(columns.last_time_us).label("last_time_us"),
            func.bool_or(columns.in_log).label("in_log"),
        )
        .join(ASKED, on_days(cells))
        .where(columns.meter_id == OF_METERS)
        .group_by(*key)
    )


def _last_operations() -> Any:
    """Query the greatest moment of each distinct value, with what happened then: without sorting.

    Moments are unique: what stands behind one in the array decides nothing.
    """
    columns = cell_values.c
    key = (ASKED.c.period_id, columns.meter_id, columns.dimensions_key, columns.value_key)
    last = [cast(columns[name], BigInteger) for name in MOMENT]
    last.append(cast(cast(columns.present, Integer), BigInteger))
    return (
        select(*key, func.max(array(last)).label("last"))
        .join(ASKED, on_days(cell_values))
        .where(columns.meter_id == OF_METERS)
        .group_by(*key)
    )


_MERGING, _LAST_OPERATIONS = _merging(), _last_operations()


def _read_merged(row: Any) -> Cell:
    return Cell(
        dimensions=tuple(row.dimensions),
        event_count=int(row.event_count),
        total=row.total,
        greatest=row.greatest,
        least=row.least,
        amount=row.amount,
        last_time=row.last_time_us,
        in_log=row.in_log,
    )
