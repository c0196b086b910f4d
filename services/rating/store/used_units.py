"""Summing what meters counted of many stretches of days, without their dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Integer, cast, func, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.rounding import round_units
from services.rating.store.cell_parts import MOMENT
from services.rating.store.cells import ASKED, Asked, days_of, on_days
from services.rating.store.merged_cells import OF_METERS, WORK_MEM
from services.rating.store.usage_schema import cell_values, cells

SUMMED = {Aggregation.COUNT, Aggregation.MAX, Aggregation.SUM, Aggregation.UNIQUE_COUNT}
ZERO = Decimal(0)

Used = dict[tuple[UUID, UUID], Decimal | None]  # By an id of days, and meter.


def is_summed(meter: Meter) -> bool:
    """Tell whether what `meter` counts of some days is known without the cells of each."""
    return meter.aggregation in SUMMED and meter.day_bucket is None and not meter.recurring


async def load_used_units(
    conn: AsyncConnection, tenant: Tenant, asked: Sequence[Asked], meters: Sequence[Meter]
) -> Used:
    """Return the units that `meters`, which are summed, counted, where they counted anything.

    Several of `asked` may have one id: they are counted as one. None: a day is in log mode, and
    events would have to be read.
    """
    found: Used = {}
    if not asked or not meters:
        return found
    by_id = {meter.meter_id: meter for meter in meters}
    values = {**days_of(tenant, asked), "of_meters": list(by_id)}
    await conn.execute(WORK_MEM)
    for row in await conn.execute(_SUMS, values):
        meter = by_id[row.meter_id]
        found[row.period_id, row.meter_id] = _units(meter, row)
    distinct = [meter.meter_id for meter in meters if _is_distinct(meter)]
    if distinct:
        for row in await conn.execute(_DISTINCT, {**values, "of_meters": distinct}):
            if found.get((row.period_id, row.meter_id)) is not None:
                units = round_units(Decimal(row.value_count), by_id[row.meter_id].rounding)
                found[row.period_id, row.meter_id] = units
    return found


def _is_distinct(meter: Meter) -> bool:
    return meter.aggregation is Aggregation.UNIQUE_COUNT


def _units(meter: Meter, row: Any) -> Decimal | None:
    """Return the units of a row of sums; of distinct values they follow."""
    if row.in_log and meter.aggregation is not Aggregation.COUNT:
        return None
    exact: Mapping[Aggregation, Decimal | None] = {
        Aggregation.COUNT: row.event_count,
        Aggregation.SUM: row.total,
        Aggregation.MAX: row.greatest,
    }
    return round_units(exact.get(meter.aggregation) or ZERO, meter.rounding)


def _sums() -> Any:
    columns = cells.c
    return (
        select(
            ASKED.c.period_id,
            columns.meter_id,
            func.sum(columns.event_count).label("event_count"),
            func.sum(columns.total).label("total"),
            func.max(columns.greatest).label("greatest"),
            func.bool_or(columns.in_log).label("in_log"),
        )
        .join(ASKED, on_days(cells))
        .where(columns.meter_id == OF_METERS)
        .group_by(ASKED.c.period_id, columns.meter_id)
    )


def _distinct() -> Any:
    """Count the distinct values whose last operation leaves them there.

    Moments are unique: what stands behind one in the array decides nothing.
    """
    columns = cell_values.c
    last = [cast(columns[name], BigInteger) for name in MOMENT]
    last.append(cast(cast(columns.present, Integer), BigInteger))
    key = (ASKED.c.period_id, columns.meter_id, columns.value_key)
    lasting = (
        select(*key, func.max(array(last)).label("last"))
        .join(ASKED, on_days(cell_values))
        .where(columns.meter_id == OF_METERS)
        .group_by(*key)
        .subquery()
    )
    return (
        select(lasting.c.period_id, lasting.c.meter_id, func.count().label("value_count"))
        .where(lasting.c.last[len(last)] == 1)
        .group_by(lasting.c.period_id, lasting.c.meter_id)
    )


_SUMS, _DISTINCT = _sums(), _distinct()
