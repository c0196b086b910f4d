"""Reading and writing the coupons of customers, and what they took off of invoices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, bindparam, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.difference import Difference, compared
from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.applied_coupon import AppliedCoupon, Coupon, CouponStatus, Frequency
from services.invoicing.domain.coupon import CouponScope, CouponUse
from services.invoicing.domain.discounts import AmountOff, Discount, PercentOff
from services.invoicing.domain.invoice import Status
from services.invoicing.store.coupon_schema import applied_coupons, coupons, invoice_coupons
from services.invoicing.store.schema import invoices

Key = tuple[int, UUID]  # Tenant and invoice.


async def find_active(
    conn: AsyncConnection, tenant: Tenant, customer_ids: Collection[str], *, lock: bool = False
) -> dict[str, list[AppliedCoupon]]:
    """Return the coupons of customers that have something left, oldest first, by customer.

    With `lock` they are locked in that order to the end of the transaction.
    """
    query = (
        with_coupon()
        .where(
            applied_coupons.c.tenant == tenant,
            applied_coupons.c.status == CouponStatus.ACTIVE,
            among(applied_coupons.c.customer_id, customer_ids),
        )
        .order_by(applied_coupons.c.ordinal)
    )
    if lock:
        query = query.with_for_update(of=applied_coupons)
    found: dict[str, list[AppliedCoupon]] = {}
    for row in await conn.execute(query):
        found.setdefault(row.customer_id, []).append(applied_of(row))
    return found


async def save_used(conn: AsyncConnection, tenant: Tenant, used: Sequence[AppliedCoupon]) -> None:
    """Store what locked coupons of customers have been used for so far."""
    if not used:
        return
    which = applied_coupons.c.applied_coupon_id == bindparam("of_coupon")
    await conn.execute(
        update(applied_coupons)
        .filter_by(tenant=tenant)
        .where(which)
        .values(
            status=bindparam("now"),
            used_minor=bindparam("minor"),
            used_count=bindparam("count"),
        ),
        [
            {
                "of_coupon": one.applied_coupon_id,
                "now": one.status,
                "minor": one.used_minor,
                "count": one.used_count,
            }
            for one in used
        ],
    )


async def give_back(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID], *, now: datetime
) -> None:
    """Give coupons back to customers of whose locked invoices, now voided, they took something.

    Once for an invoice: a repeat gives back twice. They are locked after the invoices.
    """
    uses: dict[UUID, list[int]] = {}
    query = select(invoice_coupons).filter_by(tenant=tenant)
    for row in await conn.execute(query.where(among(invoice_coupons.c.invoice_id, invoice_ids))):
        uses.setdefault(row.applied_coupon_id, []).append(row.amount_minor)
    if not uses:
        return
    locked = (
        with_coupon()
        .where(
            applied_coupons.c.tenant == tenant,
            among(applied_coupons.c.applied_coupon_id, uses.keys()),
        )
        .order_by(applied_coupons.c.ordinal)
        .with_for_update(of=applied_coupons)
    )
    returned: list[AppliedCoupon] = []
    for row in await conn.execute(locked):
        one = applied_of(row)
        for amount_minor in uses[one.applied_coupon_id]:
            one = one.given_back(amount_minor, ended=one.coupon.has_ended(now))
        returned.append(one)
    await save_used(conn, tenant, returned)


async def load_used(
    conn: AsyncConnection, tenant: Tenant, invoice_ids: Collection[UUID]
) -> dict[UUID, list[CouponUse]]:
    """Return what coupons took off of invoices, in their order, by invoice."""
    found = await load_uses(conn, [(tenant, invoice_id) for invoice_id in invoice_ids])
    return {invoice_id: uses for (_, invoice_id), uses in found.items()}


async def load_uses(conn: AsyncConnection, keys: Collection[Key]) -> dict[Key, list[CouponUse]]:
    """Return what coupons took off of invoices, in their order, by tenant and invoice."""
    uses = invoice_coupons.c
    joined = invoice_coupons.join(
        applied_coupons,
        and_(
            applied_coupons.c.tenant == uses.tenant,
            applied_coupons.c.applied_coupon_id == uses.applied_coupon_id,
        ),
    )
    query = (
        with_coupon(joined)
        .add_columns(uses.invoice_id, uses.left_minor, uses.amount_minor)
        .where(tuple_(uses.tenant, uses.invoice_id).in_(keys))
        .order_by(uses.position)
    )
    found: dict[Key, list[CouponUse]] = {}
    for row in await conn.execute(query):
        found.setdefault((row.tenant, row.invoice_id), []).append(use_of(row))
    return found


async def find_use_faults(conn: AsyncConnection, *, limit: int) -> list[Difference]:
    """Return customers' coupons that are used for more, or less, than invoices say that count."""
    uses, used = invoice_coupons.c, applied_coupons.c
    counting = (
        select(
            uses.tenant,
            uses.applied_coupon_id,
            func.sum(uses.amount_minor).label("amount"),
            func.count().label("count"),
        )
        .join(
            invoices,
            and_(invoices.c.tenant == uses.tenant, invoices.c.invoice_id == uses.invoice_id),
        )
        .where(invoices.c.status.not_in((Status.DRAFT, Status.VOIDED)))
        .group_by(uses.tenant, uses.applied_coupon_id)
        .subquery("counting")
    )
    same = and_(
        counting.c.tenant == used.tenant, counting.c.applied_coupon_id == used.applied_coupon_id
    )
    amount, count = (func.coalesce(column, 0) for column in (counting.c.amount, counting.c.count))
    query = (
        select(applied_coupons, amount.label("amount"), count.label("count"))
        .select_from(applied_coupons.outerjoin(counting, same))
        .where(or_(used.used_minor != amount, used.used_count != count))
        .order_by(used.tenant, used.ordinal)
        .limit(limit)
    )
    return [
        one
        for row in await conn.execute(query)
        for one in compared(
            row.tenant,
            "coupon",
            {"coupon_code": row.coupon_code, "applied_coupon_id": str(row.applied_coupon_id)},
            used_minor=(row.used_minor, int(row.amount)),
            used_count=(row.used_count, row.count),
        )
    ]


def with_coupon(joined: Any = applied_coupons) -> Select[Any]:
    """Return the query of customers' coupons with the terms of their coupons."""
    of_coupon = and_(
        coupons.c.tenant == applied_coupons.c.tenant,
        coupons.c.code == applied_coupons.c.coupon_code,
    )
    terms = [column for column in coupons.c if column.name != "tenant"]
    return select(applied_coupons, *terms).select_from(joined.join(coupons, of_coupon))


def coupon_of(row: Row[Any]) -> Coupon:
    discount: Discount = (
        AmountOff(row.amount_off_minor) if row.percent is None else PercentOff(row.percent)
    )
    return Coupon(
        code=row.code,
        name=row.name,
        discount=discount,
        currency=row.currency,
        frequency=Frequency(row.frequency),
        periods=row.periods,
        scope=CouponScope(tuple(row.meter_codes), tuple(row.plan_codes)),
        expires_at=row.expires_at and row.expires_at.astimezone(UTC),
        created_at=row.created_at.astimezone(UTC),
        archived_at=row.archived_at and row.archived_at.astimezone(UTC),
    )


def applied_of(row: Row[Any]) -> AppliedCoupon:
    return AppliedCoupon(
        applied_coupon_id=row.applied_coupon_id,
        customer_id=row.customer_id,
        coupon=coupon_of(row),
        status=CouponStatus(row.status),
        applied_at=row.applied_at.astimezone(UTC),
        used_minor=row.used_minor,
        used_count=row.used_count,
        removed_at=row.removed_at and row.removed_at.astimezone(UTC),
    )


def use_of(row: Row[Any]) -> CouponUse:
    opened = applied_of(row).opened()
    if row.left_minor is not None:
        opened = replace(opened, discount=AmountOff(row.left_minor))
    return CouponUse(opened, row.amount_minor)


def columns_of_use(use: CouponUse) -> Mapping[str, Any]:
    discount = use.coupon.discount
    return {
        "applied_coupon_id": use.coupon.applied_coupon_id,
        "left_minor": discount.amount_minor if isinstance(discount, AmountOff) else None,
        "amount_minor": use.amount_minor,
    }
