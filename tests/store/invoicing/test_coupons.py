"""Coupons of a customer are used once, by whichever invoice is frozen first, and come back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, begin_worker
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.applied_coupon import (
    AppliedCoupon,
    Coupon,
    CouponExpired,
    CouponStatus,
    Frequency,
    TooManyCoupons,
)
from services.invoicing.domain.discounts import AmountOff, Discount, PercentOff
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.tax import TaxNotFound
from services.invoicing.operations import couponing, drafting, reading
from services.invoicing.operations.couponing import ACTIVE_MAX
from services.invoicing.store import coupon_uses
from services.invoicing.store.coupon_schema import applied_coupons
from tests.store.invoicing.steps import (
    NOW,
    announce,
    complete_one,
    finalized,
    freeze_one,
    frozen,
    newest,
)
from tests.unit.invoicing.samples import amount_fee, rated

DAY = timedelta(days=1)


def command() -> Request:
    return Request("test", uuid4(), b"")


async def give(
    engine: AsyncEngine,
    tenant: Tenant,
    discount: Discount,
    frequency: Frequency = Frequency.ONCE,
    *,
    periods: int = 0,
) -> UUID:
    """Make a coupon, give it to the customer, and return which it is."""
    currency = "USD" if isinstance(discount, AmountOff) else ""
    code = str(uuid4())
    coupon = Coupon(
        code=code,
        name="Spring",
        discount=discount,
        currency=currency,
        frequency=frequency,
        periods=periods,
        expires_at=NOW + DAY,
        created_at=NOW,
    )
    await couponing.create_coupon(engine, tenant, command(), coupon)
    given = await couponing.apply_coupon(engine, tenant, command(), "c1", code, now=NOW)
    return UUID(given.applied_coupon.applied_coupon_id)


async def met(engine: AsyncEngine, tenant: Tenant) -> None:
    """Meet the customer, by an invoice of nothing."""
    await finalized(engine, tenant, 0)


async def standing(engine: AsyncEngine, tenant: Tenant) -> list[AppliedCoupon]:
    """The customer's coupons, oldest first."""
    found = await couponing.list_applied(
        engine, tenant, customer_id="c1", status=None, before=None, limit=100
    )
    return [one for _, one in reversed(found)]


def sums(invoice: Invoice) -> tuple[int, int]:
    return invoice.coupons_minor, invoice.subtotal_minor


async def test_an_amount_is_used_up_bit_by_bit(engine: AsyncEngine, tenant: Tenant) -> None:
    await met(engine, tenant)
    await give(engine, tenant, AmountOff(150))
    assert sums(await finalized(engine, tenant, 100)) == (100, 0)
    assert sums(await finalized(engine, tenant, 0)) == (0, 0)
    assert sums(await finalized(engine, tenant, 80)) == (50, 30)
    assert sums(await finalized(engine, tenant, 80)) == (0, 80)
    [one] = await standing(engine, tenant)
    assert (one.status, one.used_minor, one.used_count) == (CouponStatus.USED, 150, 2)


async def test_a_draft_shows_coupons_that_only_a_frozen_invoice_uses(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await met(engine, tenant)
    coupon_id = await give(engine, tenant, PercentOff(Decimal(25)))
    period = rated([amount_fee(100)], period=uuid4().int)
    await announce(engine, tenant, [period])
    draft = await newest(engine, tenant)
    work = await drafting.load_draft(engine, tenant, draft.invoice_id)
    assert await drafting.refresh_draft(engine, tenant, work, [period])
    shown = await newest(engine, tenant)
    assert (sums(shown), shown.total_minor) == ((25, 75), 75)
    assert [use.coupon.name for use in shown.coupons] == ["Spring"]
    await couponing.remove_applied(engine, tenant, command(), coupon_id, now=NOW)
    stale = await newest(engine, tenant)
    assert stale.revision == shown.revision + 1
    assert await freeze_one(engine, tenant, draft.invoice_id, closed=[period])
    assert sums(await newest(engine, tenant)) == (0, 100)
    [one] = await standing(engine, tenant)
    assert (one.status, one.used_count) == (CouponStatus.REMOVED, 0)


async def test_two_invoices_at_once_do_not_use_a_coupon_twice(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await met(engine, tenant)
    await give(engine, tenant, AmountOff(150))
    periods = [rated([amount_fee(100)], period=uuid4().int) for _ in range(2)]
    ids = []
    for days, period in enumerate(periods):
        await announce(engine, tenant, [period], due_at=NOW + days * DAY)
        ids.append((await newest(engine, tenant)).invoice_id)
    frozen_both = await asyncio.gather(
        *(
            freeze_one(engine, tenant, invoice_id, closed=[period])
            for invoice_id, period in zip(ids, periods, strict=True)
        )
    )
    assert frozen_both == [True, True]
    found = [await reading.get_invoice(engine, tenant, invoice_id=one) for one in ids]
    assert sorted(map(sums, found)) == [(50, 50), (100, 0)]
    [one] = await standing(engine, tenant)
    assert (one.status, one.used_minor) == (CouponStatus.USED, 150)


async def test_one_of_two_periods_comes_back_with_a_voided_invoice(
    engine: AsyncEngine, tenant: Tenant, worker: AsyncEngine
) -> None:
    await met(engine, tenant)
    await give(engine, tenant, AmountOff(30), Frequency.PERIODS, periods=2)
    first = await finalized(engine, tenant, 100)
    assert sums(await finalized(engine, tenant, 20)) == (20, 0)
    [one] = await standing(engine, tenant)
    assert (one.status, one.used_minor, one.periods_left) == (CouponStatus.USED, 50, 0)
    async with begin_worker(worker) as conn:
        assert await coupon_uses.find_use_faults(conn, limit=10) == []
    async with begin(engine, tenant) as conn:
        await coupon_uses.give_back(conn, tenant, [first.invoice_id], now=NOW)
    [one] = await standing(engine, tenant)
    assert (one.status, one.used_minor, one.periods_left) == (CouponStatus.ACTIVE, 20, 1)
    async with begin_worker(worker) as conn:  # It is not voided, so they do not agree.
        [minor, count] = await coupon_uses.find_use_faults(conn, limit=10)
    assert (minor.field, minor.stored, minor.recomputed) == ("used_minor", "20", "50")
    assert (count.field, count.stored, count.recomputed) == ("used_count", "1", "2")


async def test_a_coupon_that_has_ended_is_given_to_nobody(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await met(engine, tenant)
    await give(engine, tenant, AmountOff(1))
    [one] = await standing(engine, tenant)
    code = one.coupon.code
    with pytest.raises(CouponExpired):
        await couponing.apply_coupon(engine, tenant, command(), "c1", code, now=NOW + DAY)
    for _ in range(ACTIVE_MAX - 1):
        await couponing.apply_coupon(engine, tenant, command(), "c1", code, now=NOW)
    with pytest.raises(TooManyCoupons):
        await couponing.apply_coupon(engine, tenant, command(), "c1", code, now=NOW)


async def test_the_database_refuses_to_use_more_than_there_is(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await met(engine, tenant)
    await give(engine, tenant, AmountOff(10))
    with pytest.raises(IntegrityError, match="used_no_more_than_it_may"):
        async with begin(engine, tenant) as conn:
            await conn.execute(update(applied_coupons).values(used_minor=11))


async def test_an_invoice_waits_for_a_tax_that_its_fees_name(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([replace(amount_fee(100), tax_codes=("vat",))], period=uuid4().int)
    with pytest.raises(TaxNotFound):
        await frozen(engine, tenant, [period])
    await complete_one(engine, tenant, (await newest(engine, tenant)).invoice_id)
    assert (await newest(engine, tenant)).number == ""
