"""Reading and writing coupons, and which customers have them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.applied_coupon import (
    AppliedCoupon,
    AppliedCouponNotFound,
    Coupon,
    CouponCodeTaken,
    CouponNotFound,
    CouponStatus,
)
from services.invoicing.domain.discounts import AmountOff, PercentOff
from services.invoicing.store.coupon_schema import applied_coupons, coupons
from services.invoicing.store.coupon_uses import applied_of, coupon_of, with_coupon


async def create_coupon(conn: AsyncConnection, tenant: Tenant, coupon: Coupon) -> None:
    """Store a new coupon.

    Raises:
        CouponCodeTaken: another coupon has the code.
    """
    discount = coupon.discount
    row = insert(coupons).values(
        tenant=tenant,
        code=coupon.code,
        name=coupon.name,
        percent=discount.percent if isinstance(discount, PercentOff) else None,
        amount_off_minor=discount.amount_minor if isinstance(discount, AmountOff) else None,
        currency=coupon.currency,
        frequency=coupon.frequency,
        periods=coupon.periods,
        meter_codes=list(coupon.scope.meter_codes),
        plan_codes=list(coupon.scope.plan_codes),
        expires_at=coupon.expires_at,
        created_at=coupon.created_at,
    )
    if (await conn.execute(row.on_conflict_do_nothing())).rowcount == 0:
        raise CouponCodeTaken(f"there is a coupon {coupon.code} already")


async def load_coupon(
    conn: AsyncConnection, tenant: Tenant, code: str, *, lock: bool = False
) -> Coupon:
    """Return a coupon, with `lock` locked to the end of the transaction.

    Raises:
        CouponNotFound: the tenant has none of that code.
    """
    query = select(coupons).filter_by(tenant=tenant, code=code)
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise CouponNotFound(f"no coupon {code}")
    return coupon_of(row)


async def archive_coupon(
    conn: AsyncConnection, tenant: Tenant, code: str, *, now: datetime
) -> None:
    """Archive a locked coupon."""
    archived = update(coupons).filter_by(tenant=tenant, code=code)
    await conn.execute(archived.values(archived_at=now))


async def list_coupons(
    conn: AsyncConnection, tenant: Tenant, *, archived: bool, after: str, limit: int
) -> list[Coupon]:
    """Return coupons after the code `after`, by code; with `archived` those that are, too."""
    query = select(coupons).filter_by(tenant=tenant).order_by(coupons.c.code).limit(limit)
    if after:
        query = query.where(coupons.c.code > after)
    if not archived:
        query = query.where(coupons.c.archived_at.is_(None))
    return [coupon_of(row) for row in await conn.execute(query)]


async def count_active(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> int:
    """Return how many coupons of a customer have something left."""
    query = select(func.count()).select_from(applied_coupons)
    active = query.filter_by(tenant=tenant, customer_id=customer_id, status=CouponStatus.ACTIVE)
    return int((await conn.execute(active)).scalar_one())


async def apply_coupon(conn: AsyncConnection, tenant: Tenant, applied: AppliedCoupon) -> None:
    """Give a customer a coupon."""
    await conn.execute(
        insert(applied_coupons).values(
            tenant=tenant,
            applied_coupon_id=applied.applied_coupon_id,
            customer_id=applied.customer_id,
            coupon_code=applied.coupon.code,
            status=applied.status,
            most_minor=applied.coupon.most_minor,
            most_count=applied.coupon.most_count,
            applied_at=applied.applied_at,
        )
    )


async def load_applied(
    conn: AsyncConnection, tenant: Tenant, applied_coupon_id: UUID, *, lock: bool = False
) -> AppliedCoupon:
    """Return a coupon of a customer, with `lock` locked to the end of the transaction.

    Raises:
        AppliedCouponNotFound: the tenant has none of that id.
    """
    columns = applied_coupons.c
    query = with_coupon().where(
        columns.tenant == tenant, columns.applied_coupon_id == applied_coupon_id
    )
    if lock:
        query = query.with_for_update(of=applied_coupons)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise AppliedCouponNotFound(f"no customer has a coupon {applied_coupon_id}")
    return applied_of(row)


async def remove_applied(
    conn: AsyncConnection, tenant: Tenant, applied_coupon_id: UUID, *, now: datetime
) -> None:
    """Take a locked coupon from its customer."""
    removed = update(applied_coupons).filter_by(tenant=tenant, applied_coupon_id=applied_coupon_id)
    await conn.execute(removed.values(status=CouponStatus.REMOVED, removed_at=now))


async def list_applied(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str,
    status: CouponStatus | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, AppliedCoupon]]:
    """Return coupons of customers older than the ordinal `before`, newest first, with theirs."""
    columns = applied_coupons.c
    query = with_coupon().where(columns.tenant == tenant).order_by(columns.ordinal.desc())
    if customer_id:
        query = query.where(columns.customer_id == customer_id)
    if status is not None:
        query = query.where(columns.status == status)
    if before is not None:
        query = query.where(columns.ordinal < before)
    return [(row.ordinal, applied_of(row)) for row in await conn.execute(query.limit(limit))]
