"""Reading and writing what single events of instant charges cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.event import Moment
from services.rating.domain.instant_fee import (
    FeeSelection,
    InstantFee,
    InstantFeeNotFound,
    PaymentStatus,
    StoredFee,
)
from services.rating.store.instant_schema import instant_fees
from services.rating.store.instant_states import key_row, read_key
from services.rating.store.schema import billing_periods

Key = tuple[int, int, int, str, UUID]  # Shard, segment, place, charge and fee.


async def insert_fees(
    conn: AsyncConnection, tenant: Tenant, fees: Iterable[InstantFee], *, rated_at: datetime
) -> None:
    """Add fees. The ids, which follow from their events, keep each from being added twice."""
    rows = [
        {
            "tenant": tenant,
            "fee_id": fee.fee_id,
            "period_id": fee.period_id,
            **key_row(fee.key),
            "time_us": fee.moment.time,
            "shard": fee.moment.shard,
            "number": fee.moment.number,
            "place": fee.moment.place,
            "units": fee.units,
            "exact_amount": fee.exact_amount,
            "payment_status": fee.payment_status,
            "rated_at": rated_at,
        }
        for fee in fees
    ]
    if rows:
        await conn.execute(insert(instant_fees), rows)


async def list_fees(
    conn: AsyncConnection,
    tenant: Tenant,
    selection: FeeSelection,
    *,
    after: Key | None,
    limit: int,
) -> Sequence[StoredFee]:
    """Return up to `limit` fees by the places of their events in the log, after that key."""
    columns = instant_fees.c
    keys = (columns.shard, columns.number, columns.place, columns.charge_code, columns.fee_id)
    query = _select().where(columns.tenant == tenant)
    if selection.subscription_id:
        query = query.where(billing_periods.c.subscription_id == selection.subscription_id)
    if selection.charge_code:
        query = query.where(columns.charge_code == selection.charge_code)
    if selection.payment_status is not None:
        query = query.where(columns.payment_status == selection.payment_status)
    if after is not None:
        query = query.where(tuple_(*keys) > after)
    return [_read(row) for row in await conn.execute(query.order_by(*keys).limit(limit))]


async def lock_fee(conn: AsyncConnection, tenant: Tenant, fee_id: UUID) -> StoredFee:
    """Return a fee, locked.

    Raises:
        InstantFeeNotFound: there is none.
    """
    columns = instant_fees.c
    query = _select().where(columns.tenant == tenant, columns.fee_id == fee_id)
    row = (await conn.execute(query.with_for_update(of=instant_fees))).one_or_none()
    if row is None:
        raise InstantFeeNotFound(f"no instant fee {fee_id}")
    return _read(row)


async def set_payment(
    conn: AsyncConnection, tenant: Tenant, fee_id: UUID, status: PaymentStatus
) -> None:
    """Write how the payment of a locked fee went."""
    changing = update(instant_fees).filter_by(tenant=tenant, fee_id=fee_id)
    await conn.execute(changing.values(payment_status=status))


def _select() -> Select[Any]:
    of_period = (billing_periods.c.tenant == instant_fees.c.tenant) & (
        billing_periods.c.period_id == instant_fees.c.period_id
    )
    of_it = billing_periods.c
    return select(instant_fees, of_it.subscription_id, of_it.customer_id, of_it.currency).join(
        billing_periods, of_period
    )


def _read(row: Row[Any]) -> StoredFee:
    status = None if row.payment_status is None else PaymentStatus(row.payment_status)
    fee = InstantFee(
        period_id=row.period_id,
        key=read_key(row),
        moment=Moment(row.time_us, row.shard, row.number, row.place),
        units=row.units,
        exact_amount=row.exact_amount,
        payment_status=status,
    )
    return StoredFee(
        fee=fee,
        subscription_id=row.subscription_id,
        customer_id=row.customer_id,
        currency=row.currency,
        rated_at=row.rated_at.astimezone(UTC),
    )
