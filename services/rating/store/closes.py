"""What was frozen of billing periods: closes, adjustments and their fees. Written once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.cell import dimensions_key
from services.rating.domain.fee import Fee, FeeKey, FeeKind
from services.rating.store.applied import Lane
from services.rating.store.plan_body import read_rows, write_rows
from services.rating.store.schema import closed_fees, closes

Key = tuple[int, UUID, int]  # Tenant, period and sequence.

CLOSE = 0  # The sequence of the close itself; adjustments count from 1.


@dataclass(frozen=True, slots=True)
class Close:
    """What was frozen at once: the close (sequence 0) or an adjustment."""

    sequence: int
    late_version: int  # Of the period, then.
    usage_traceparents: tuple[str, ...]
    fees: tuple[Fee, ...]
    high_cardinality_codes: tuple[str, ...] = ()  # Of meters that were read from the log.


async def insert_closes(
    conn: AsyncConnection,
    tenant: Tenant,
    frozen: Mapping[UUID, Close],
    *,
    applied: Mapping[Lane, int],
    closed_at: datetime,
) -> None:
    """Freeze a close of each locked period, with how far the log was in the cells."""
    positions = [[*lane, number] for lane, number in sorted(applied.items())]
    rows = [
        {
            "tenant": tenant,
            "period_id": period_id,
            "sequence": close.sequence,
            "closed_at": closed_at,
            "late_version": close.late_version,
            "applied": positions,
            "usage_traceparents": list(close.usage_traceparents),
            "high_cardinality_codes": list(close.high_cardinality_codes),
        }
        for period_id, close in frozen.items()
    ]
    if rows:
        await conn.execute(insert(closes), rows)
    fees = [
        {"tenant": tenant, "period_id": period_id, **row}
        for period_id, close in frozen.items()
        for row in _fee_rows(close)
    ]
    if fees:
        await conn.execute(insert(closed_fees), fees)


async def load_closes(conn: AsyncConnection, tenant: Tenant, period_id: UUID) -> Sequence[Close]:
    """Return all that was frozen of a period, by sequence."""
    key = {"tenant": tenant, "period_id": period_id}
    fees: dict[int, list[Fee]] = {}
    frozen = select(closed_fees).filter_by(**key).order_by(closed_fees.c.place)
    for row in await conn.execute(frozen):
        fees.setdefault(row.sequence, []).append(_read_fee(row))
    query = select(closes).filter_by(**key).order_by(closes.c.sequence)
    return [_read_close(row, fees.get(row.sequence, ())) for row in await conn.execute(query)]


async def find_positions(
    conn: AsyncConnection, tenant: Tenant, period_id: UUID, sequence: int
) -> dict[Lane, int] | None:
    """Return how far the log was in the cells at a close, by lane; None: nothing is frozen."""
    query = select(closes.c.applied).filter_by(
        tenant=tenant, period_id=period_id, sequence=sequence
    )
    found = (await conn.execute(query)).scalar_one_or_none()
    if found is None:
        return None
    return {Lane(shard, partition): number for shard, partition, number in found}


async def list_closes(
    conn: AsyncConnection,
    *,
    period_ids: Collection[UUID] = (),
    after: Key | None = None,
    limit: int | None = None,
) -> list[tuple[Key, Close]]:
    """Return closes by their keys, after that key; of `period_ids` only, if there are any."""
    key = tuple_(closes.c.tenant, closes.c.period_id, closes.c.sequence)
    query = select(closes).order_by(*key.clauses).limit(limit)
    if period_ids:
        query = query.where(closes.c.period_id.in_(period_ids))
    if after is not None:
        query = query.where(key > after)
    found = (await conn.execute(query)).all()
    keys = [(row.tenant, row.period_id, row.sequence) for row in found]
    fees: dict[Key, list[Fee]] = {}
    columns = closed_fees.c
    of_closes = select(closed_fees).where(
        tuple_(columns.tenant, columns.period_id, columns.sequence).in_(keys)
    )
    for row in await conn.execute(of_closes.order_by(columns.place)):
        fees.setdefault((row.tenant, row.period_id, row.sequence), []).append(_read_fee(row))
    return [
        (of_row, _read_close(row, fees.get(of_row, ())))
        for of_row, row in zip(keys, found, strict=True)
    ]


def _fee_rows(close: Close) -> Iterator[dict[str, Any]]:
    for place, fee in enumerate(close.fees):
        yield {
            "sequence": close.sequence,
            "kind": fee.key.kind,
            "charge_code": fee.key.charge_code,
            "filter_code": fee.key.filter_code,
            "group_key": group_key(fee.key),
            "group_values": fee.key.group_values,
            "place": place,
            "meter_code": fee.meter_code,
            "display_name": fee.display_name,
            "units": fee.units,
            "event_count": fee.event_count,
            "exact_amount": fee.exact_amount,
            "amount_minor": fee.amount_minor,
            "breakdown": write_rows(fee.rows),
            "tax_codes": fee.tax_codes,
        }


def group_key(key: FeeKey) -> bytes:
    """Return what stands for the group of a fee among those of its bucket."""
    values = tuple(value for _, value in key.group_values)
    return dimensions_key(values) if values else b""


def _read_close(row: Row[Any], fees: Sequence[Fee]) -> Close:
    return Close(
        sequence=row.sequence,
        late_version=row.late_version,
        usage_traceparents=tuple(row.usage_traceparents),
        fees=tuple(fees),
        high_cardinality_codes=tuple(row.high_cardinality_codes),
    )


def _read_fee(row: Row[Any]) -> Fee:
    return Fee(
        key=FeeKey(
            FeeKind(row.kind),
            row.charge_code,
            row.filter_code,
            tuple((key, value) for key, value in row.group_values),
        ),
        meter_code=row.meter_code,
        display_name=row.display_name,
        units=row.units,
        event_count=row.event_count,
        exact_amount=row.exact_amount,
        amount_minor=row.amount_minor,
        rows=read_rows(row.breakdown),
        tax_codes=tuple(row.tax_codes),
    )
