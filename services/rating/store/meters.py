"""Reading and writing meters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Date,
    Row,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    select,
    update,
)
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
from services.rating.store.cell_parts import PARTS
from services.rating.store.schema import meters, plan_versions, subscriptions, terms
from services.rating.store.usage_schema import cells, valueless_days


async def insert_meter(conn: AsyncConnection, tenant: Tenant, meter: Meter) -> None:
    """Add `meter`.

    Raises:
        MeterCodeTaken: another one has its code.
    """
    adding = insert(meters).values(tenant=tenant, **_row(meter))
    added = await conn.execute(adding.on_conflict_do_nothing(index_elements=["tenant", "code"]))
    if added.rowcount == 0:
        raise MeterCodeTaken(f"another meter has the code {meter.code}")


async def update_meter(conn: AsyncConnection, tenant: Tenant, meter: Meter) -> None:
    """Write all that may change of a locked meter."""
    changing = update(meters).filter_by(tenant=tenant, code=meter.code)
    await conn.execute(changing.values(**_row(meter)))


async def is_charged(conn: AsyncConnection, tenant: Tenant, code: str) -> bool:
    """Tell whether a plan version charges a meter, which is locked: none can be added meanwhile."""
    charging = exists().where(
        plan_versions.c.tenant == tenant, plan_versions.c.meter_codes.any(code)
    )
    return bool((await conn.execute(select(charging))).scalar_one())


async def forget_usage(conn: AsyncConnection, tenant: Tenant, meter: Meter) -> None:
    """Delete all cells of a meter that no plan charges. The catalog is held.

    Events that were in them may be in no other cell: that is noted.
    """
    owned = select(terms.c.term_id).where(terms.c.tenant == tenant)
    last_day = cast(func.timezone("UTC", func.to_timestamp(cells.c.last_time_us / 1_000_000)), Date)
    counted = (
        select(cells.c.tenant, subscriptions.c.customer_id, last_day)
        .join(terms, (terms.c.tenant == cells.c.tenant) & (terms.c.term_id == cells.c.term_id))
        .join(
            subscriptions,
            (subscriptions.c.tenant == terms.c.tenant)
            & (subscriptions.c.subscription_uid == terms.c.subscription_uid),
        )
        .where(cells.c.tenant == tenant, cells.c.meter_id == meter.meter_id)
        .distinct()
    )
    noting = insert(valueless_days).from_select(["tenant", "customer_id", "day"], counted)
    await conn.execute(noting.on_conflict_do_nothing())
    for table in (cells, *PARTS):
        await conn.execute(
            delete(table).where(
                table.c.tenant == tenant,
                table.c.term_id.in_(owned),  # So that it is found by its key.
                table.c.meter_id == meter.meter_id,
            )
        )


async def load_meter(
    conn: AsyncConnection, tenant: Tenant, code: str, *, lock: bool = False
) -> Meter:
    """Return the meter with `code`, locked if the caller will change it.

    Raises:
        MeterNotFound: there is none.
    """
    query = select(meters).filter_by(tenant=tenant, code=code)
    if lock:
        query = query.with_for_update()
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise MeterNotFound(f"no meter {code}")
    return read_meter(row)


async def load_meters(
    conn: AsyncConnection, tenant: Tenant, codes: Iterable[str], *, hold: bool = False
) -> dict[str, Meter]:
    """Return the meters among `codes` that exist, by code; with `hold` they stay as they are."""
    query = _METERS
    if hold:
        query = query.order_by(meters.c.code).with_for_update(read=True)
    asked = {"of_tenant": tenant, "codes": list(set(codes))}
    return {row.code: read_meter(row) for row in await conn.execute(query, asked)}


async def list_meters(
    conn: AsyncConnection, tenant: Tenant, *, after_code: str, archived: bool, limit: int
) -> Sequence[Meter]:
    """Return up to `limit` meters by code, after `after_code`, `archived` ones only if wanted."""
    query = (
        select(meters)
        .where(meters.c.tenant == tenant, meters.c.code > after_code)
        .order_by(meters.c.code)
        .limit(limit)
    )
    if not archived:
        query = query.where(meters.c.archived_at.is_(None))
    return [read_meter(row) for row in await conn.execute(query)]


_METERS = select(meters).where(
    meters.c.tenant == bindparam("of_tenant"),
    meters.c.code == any_(bindparam("codes", type_=ARRAY(Text))),
)


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
        archived_at=row.archived_at,
        fan_out=row.fan_out,
        changed_at=row.changed_at,
    )


def _row(meter: Meter) -> dict[str, Any]:
    return {
        "code": meter.code,
        "meter_id": meter.meter_id,
        "name": meter.name,
        "event_type": meter.event_type,
        "aggregation": meter.aggregation,
        "value_property": meter.value_property,
        "dimensions": [[each.key, list(each.values)] for each in meter.dimensions],
        "created_at": meter.created_at,
        "expression": meter.expression,
        "rounding_mode": meter.rounding and meter.rounding.mode,
        "rounding_places": meter.rounding and meter.rounding.places,
        "value_input": meter.value_input,
        "percentile": meter.percentile,
        "recurring": meter.recurring,
        "day_bucket": meter.day_bucket,
        "archived_at": meter.archived_at,
        "fan_out": meter.fan_out,
        "changed_at": meter.changed_at,
    }


def _read_rounding(row: Row[Any]) -> Rounding | None:
    if row.rounding_mode is None:
        return None
    return Rounding(RoundingMode(row.rounding_mode), row.rounding_places)
