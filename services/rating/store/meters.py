"""Reading and writing meters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.meter import (
    Aggregation,
    DayBucket,
    Dimension,
    Meter,
    MeterCodeTaken,
    MeterNotFound,
    ValueInput,
)
from services.rating.domain.rounding import Rounding, RoundingMode
from services.rating.store.schema import meters


async def insert_meter(conn: AsyncConnection, tenant: Tenant, meter: Meter) -> None:
    """Add `meter`.

    Raises:
        MeterCodeTaken: another one has its code.
    """
    adding = insert(meters).values(
        tenant=tenant,
        code=meter.code,
        meter_id=meter.meter_id,
        name=meter.name,
        event_type=meter.event_type,
        aggregation=meter.aggregation,
        value_property=meter.value_property,
        dimensions=[[each.key, list(each.values)] for each in meter.dimensions],
        created_at=meter.created_at,
        expression=meter.expression,
        rounding_mode=meter.rounding and meter.rounding.mode,
        rounding_places=meter.rounding and meter.rounding.places,
        value_input=meter.value_input,
        percentile=meter.percentile,
        recurring=meter.recurring,
        day_bucket=meter.day_bucket,
    )
    added = await conn.execute(adding.on_conflict_do_nothing(index_elements=["tenant", "code"]))
    if added.rowcount == 0:
        raise MeterCodeTaken(f"another meter has the code {meter.code}")


async def load_meter(conn: AsyncConnection, tenant: Tenant, code: str) -> Meter:
    """Return the meter with `code`.

    Raises:
        MeterNotFound: there is none.
    """
    row = (await conn.execute(select(meters).filter_by(tenant=tenant, code=code))).one_or_none()
    if row is None:
        raise MeterNotFound(f"no meter {code}")
    return read_meter(row)


async def load_meters(
    conn: AsyncConnection, tenant: Tenant, codes: Iterable[str]
) -> dict[str, Meter]:
    """Return the meters among `codes` that exist, by code."""
    query = select(meters).where(meters.c.tenant == tenant, meters.c.code.in_(set(codes)))
    return {row.code: read_meter(row) for row in await conn.execute(query)}


async def list_meters(
    conn: AsyncConnection, tenant: Tenant, *, after_code: str, limit: int
) -> Sequence[Meter]:
    """Return up to `limit` meters by code, after `after_code`."""
    query = (
        select(meters)
        .where(meters.c.tenant == tenant, meters.c.code > after_code)
        .order_by(meters.c.code)
        .limit(limit)
    )
    return [read_meter(row) for row in await conn.execute(query)]


def read_meter(row: Row[Any]) -> Meter:
    """Return the meter of a row."""
    return Meter(
        meter_id=row.meter_id,
        code=row.code,
        name=row.name,
        event_type=row.event_type,
        aggregation=Aggregation(row.aggregation),
        value_property=row.value_property,
        dimensions=tuple(Dimension(key, tuple(values)) for key, values in row.dimensions),
        created_at=row.created_at,
        expression=row.expression,
        rounding=_read_rounding(row),
        value_input=ValueInput(row.value_input) if row.value_input else None,
        percentile=row.percentile,
        recurring=row.recurring,
        day_bucket=DayBucket(row.day_bucket) if row.day_bucket else None,
    )


def _read_rounding(row: Row[Any]) -> Rounding | None:
    if row.rounding_mode is None:
        return None
    return Rounding(RoundingMode(row.rounding_mode), row.rounding_places)
