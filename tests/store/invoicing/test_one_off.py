"""Invoices of add-ons: from the order to the number, without a billing period."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import Snapshots, begin
from libs.tenant import Tenant
from services.invoicing.domain.add_on import AddOn
from services.invoicing.domain.invoice import Invoice, Kind, Status
from services.invoicing.domain.verification import invoice_differences
from services.invoicing.operations import finalizing, reading
from services.invoicing.operations.one_off import OneOff, draft_one_off
from services.invoicing.store import verification
from services.invoicing.store.schema import add_ons
from tests.store.invoicing.steps import NOW, announce, claim_one, complete_one, freeze_one
from tests.unit.invoicing.samples import amount_fee, rated

HOURS = AddOn("hours", "Consulting", Decimal("2.5"), Decimal(80))


async def draft(engine: AsyncEngine, tenant: Tenant, order: OneOff) -> Invoice:
    async with begin(engine, tenant) as conn:
        return await draft_one_off(conn, tenant, order, now=NOW)


def purchase(*, requires_payment: bool) -> OneOff:
    return OneOff(
        customer_id="c1",
        currency="USD",
        add_ons=(HOURS,),
        kind=Kind.CREDIT_PURCHASE,
        requires_payment=requires_payment,
    )


async def bill(engine: AsyncEngine, tenant: Tenant, order: OneOff) -> Invoice:
    """Bring add-ons as far as they go without a payment."""
    invoice_id = (await draft(engine, tenant, order)).invoice_id
    claim = await claim_one(engine, tenant, invoice_id)
    assert (claim.period_ids, claim.adjustments) == ([], [])
    assert await freeze_one(engine, tenant, invoice_id, closed=[])
    await complete_one(engine, tenant, invoice_id)
    return await reading.get_invoice(engine, tenant, invoice_id=invoice_id)


async def test_two_invoices_of_a_day_stand_beside_the_draft_of_periods(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    await announce(engine, tenant, [rated([amount_fee(100)])])
    order = OneOff(customer_id="c1", currency="USD", add_ons=(HOURS,))
    drafted = await draft(engine, tenant, order)
    assert (drafted.status, drafted.period, drafted.total_minor) == (Status.DRAFT, None, 20_000)
    billed = await bill(engine, tenant, order)
    assert (billed.kind, billed.status, billed.total_minor) == (
        Kind.ONE_OFF,
        Status.FINALIZED,
        20_000,
    )
    assert billed.number
    async with Snapshots(engine, worker, tenant).begin() as conn:
        [frozen] = await verification.load_frozen(conn, after=None, limit=10)
    assert invoice_differences(frozen, []) == []


async def test_an_invoice_that_requires_its_payment_is_open_until_it_is_paid(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    waiting = await bill(engine, tenant, purchase(requires_payment=True))
    assert (waiting.status, waiting.number, waiting.total_minor) == (Status.OPEN, "", 20_000)
    assert await finalizing.claim(engine, tenant, [waiting.invoice_id]) == []
    for expected in (1, 0):  # A repeat does nothing.
        async with begin(engine, tenant) as conn:
            paid = await finalizing.close_paid(conn, tenant, [waiting.invoice_id], now=NOW)
        assert len(paid) == expected
    closed = await reading.get_invoice(engine, tenant, invoice_id=waiting.invoice_id)
    assert (closed.status, closed.total_minor) == (Status.FINALIZED, 20_000)
    assert closed.number == "INV-201401-001"
    assert (await bill(engine, tenant, purchase(requires_payment=False))).number


async def test_frozen_add_ons_stand(engine: AsyncEngine, tenant: Tenant) -> None:
    order = OneOff(customer_id="c1", currency="USD", add_ons=(HOURS,))
    await bill(engine, tenant, order)
    with pytest.raises(IntegrityError, match="changes while it is finalized"):
        async with begin(engine, tenant) as conn:
            await conn.execute(update(add_ons).values(units=3))
