"""Coupons: made, archived, given to customers and taken from them. Invoices use them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.applied_coupon import (
    AppliedCoupon,
    Coupon,
    CouponStatus,
    TooManyCoupons,
)
from services.invoicing.operations.coupon_messages import applied_message, coupon_message
from services.invoicing.store import coupons as store
from services.invoicing.store import invoices, parties
from tally.invoicing.v1 import coupon_service_pb2 as pb

ACTIVE_MAX = 50  # Coupons of a customer at once.


async def create_coupon(
    engine: AsyncEngine, tenant: Tenant, request: Request, coupon: Coupon
) -> pb.CreateCouponResponse:
    """Store a new coupon. What its scope names exists: the caller has asked.

    Raises:
        CouponCodeTaken: another coupon has the code.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreateCouponResponse)
        if earlier is not None:
            return earlier
        await store.create_coupon(conn, tenant, coupon)
        answer = pb.CreateCouponResponse(coupon=coupon_message(coupon))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def archive_coupon(
    engine: AsyncEngine, tenant: Tenant, request: Request, code: str, *, now: datetime
) -> pb.ArchiveCouponResponse:
    """Archive a coupon; one that is archived stays as it is.

    Raises:
        CouponNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ArchiveCouponResponse)
        if earlier is not None:
            return earlier
        coupon = await store.load_coupon(conn, tenant, code, lock=True)
        if coupon.archived_at is None:
            await store.archive_coupon(conn, tenant, code, now=now)
            coupon = replace(coupon, archived_at=now)
        answer = pb.ArchiveCouponResponse(coupon=coupon_message(coupon))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def apply_coupon(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    customer_id: str,
    code: str,
    *,
    now: datetime,
) -> pb.ApplyCouponResponse:
    """Give a customer a coupon; its drafts are refreshed.

    Raises:
        CouponNotFound, CustomerNotFound: there is none.
        CouponArchived, CouponExpired: customers get it no more.
        TooManyCoupons: the customer has fifty that are not used up.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ApplyCouponResponse)
        if earlier is not None:
            return earlier
        await parties.load_customer(conn, tenant, customer_id)
        coupon = await store.load_coupon(conn, tenant, code)
        coupon.check_open(now)
        if await store.count_active(conn, tenant, customer_id) >= ACTIVE_MAX:
            raise TooManyCoupons(
                f"the customer {customer_id} has {ACTIVE_MAX} coupons that are not used up",
                metadata={"limit": str(ACTIVE_MAX)},
            )
        applied = AppliedCoupon(
            applied_coupon_id=uuid4(),
            customer_id=customer_id,
            coupon=coupon,
            status=CouponStatus.ACTIVE,
            applied_at=now,
        )
        await store.apply_coupon(conn, tenant, applied)
        await invoices.mark_drafts_stale(conn, tenant, customer_id=customer_id)
        answer = pb.ApplyCouponResponse(applied_coupon=applied_message(applied))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def remove_applied(
    engine: AsyncEngine, tenant: Tenant, request: Request, applied_coupon_id: UUID, *, now: datetime
) -> pb.RemoveAppliedCouponResponse:
    """Take a coupon from its customer; one that is used up or removed stays as it is.

    The customer's drafts are refreshed; they are locked before the coupon, as by a freeze.

    Raises:
        AppliedCouponNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.RemoveAppliedCouponResponse)
        if earlier is not None:
            return earlier
        found = await store.load_applied(conn, tenant, applied_coupon_id)
        await invoices.mark_drafts_stale(conn, tenant, customer_id=found.customer_id)
        applied = await store.load_applied(conn, tenant, applied_coupon_id, lock=True)
        if applied.status is CouponStatus.ACTIVE:
            await store.remove_applied(conn, tenant, applied_coupon_id, now=now)
            applied = replace(applied, status=CouponStatus.REMOVED, removed_at=now)
        answer = pb.RemoveAppliedCouponResponse(applied_coupon=applied_message(applied))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_coupon(engine: AsyncEngine, tenant: Tenant, code: str) -> Coupon:
    """Return a coupon.

    Raises:
        CouponNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        return await store.load_coupon(conn, tenant, code)


async def list_coupons(
    engine: AsyncEngine, tenant: Tenant, *, archived: bool, after: str, limit: int
) -> list[Coupon]:
    """Return coupons after the code `after`, by code."""
    async with begin(engine, tenant) as conn:
        return await store.list_coupons(conn, tenant, archived=archived, after=after, limit=limit)


async def list_applied(
    engine: AsyncEngine,
    tenant: Tenant,
    *,
    customer_id: str,
    status: CouponStatus | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, AppliedCoupon]]:
    """Return coupons of customers, newest first, each with its ordinal to page by."""
    async with begin(engine, tenant) as conn:
        return await store.list_applied(
            conn, tenant, customer_id=customer_id, status=status, before=before, limit=limit
        )
