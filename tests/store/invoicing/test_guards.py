"""What the database itself refuses, whatever the code above it does."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, begin_worker
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Credit
from services.invoicing.store import invoices as store
from services.invoicing.store.schema import (
    invoice_credits,
    invoice_lines,
    invoice_periods,
    invoice_taxes,
    invoices,
)
from tests.store.invoicing.steps import NOW, announce, complete_one, finalized, frozen, newest
from tests.unit.invoicing.samples import amount_fee, rated

PARTS = [invoice_lines, invoice_taxes, invoice_credits]


async def test_a_finalized_invoice_cannot_be_changed_or_deleted(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await finalized(engine, tenant)
    for statement in (
        update(invoices).values(customer_id="c1"),
        update(invoices).values(status="draft"),
        delete(invoices),
        update(invoice_lines).values(description="else"),
        update(invoice_lines).values(credits_minor=1),
        delete(invoice_lines),
    ):
        with pytest.raises(IntegrityError, match="closed|changes"):
            async with begin(engine, tenant) as conn:
                await conn.execute(statement)


async def test_nothing_is_added_to_a_finalized_invoice(engine: AsyncEngine, tenant: Tenant) -> None:
    invoice = await finalized(engine, tenant)
    added = insert(invoice_credits).values(
        tenant=tenant,
        invoice_id=invoice.invoice_id,
        position=9,
        line_id=invoice.lines[0].line_id,
        wallet_id=uuid4(),
        grant_id=uuid4(),
        amount_minor=1,
        captured=False,
    )
    with pytest.raises(IntegrityError, match="changes while it is finalized"):
        async with begin(engine, tenant) as conn:
            await conn.execute(added)


async def test_frozen_lines_stand_and_only_take_credits(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await frozen(engine, tenant, [rated([amount_fee(100)])])
    for statement in (
        update(invoice_lines).values(amount_minor=99),
        delete(invoice_lines),
        update(invoices).values(status="draft"),
        update(invoices).values(subtotal_minor=99, total_minor=99),
    ):
        with pytest.raises(IntegrityError):
            async with begin(engine, tenant) as conn:
                await conn.execute(statement)


async def test_credits_of_lines_and_of_the_invoice_agree(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice_id = await frozen(engine, tenant, [rated([amount_fee(100)])])
    line_id = (await newest(engine, tenant)).lines[0].line_id
    paid = [Credit(line_id, uuid4(), uuid4(), part, False) for part in (30, 45)]
    await complete_one(engine, tenant, invoice_id, paid)
    invoice = await newest(engine, tenant)
    assert (invoice.credits_minor, invoice.total_minor) == (75, 25)
    assert [line.credits_minor for line in invoice.lines] == [75]


async def test_one_live_invoice_bills_a_period_for_a_purpose(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(100)])
    await frozen(engine, tenant, [period])
    await announce(engine, tenant, [rated([amount_fee(5)], period=2)])
    other = (await newest(engine, tenant)).invoice_id
    billing = [(other, period.period_id, store.CLOSE)]
    with pytest.raises(IntegrityError, match="one_live"):
        async with begin(engine, tenant) as conn:
            await store.bill_periods(conn, tenant, billing)
    async with begin(engine, tenant) as conn:
        await conn.execute(update(invoice_periods).filter_by(**{"live": True}).values(live=False))
        await store.bill_periods(conn, tenant, billing)


async def test_a_group_has_one_draft(engine: AsyncEngine, tenant: Tenant) -> None:
    await announce(engine, tenant, [rated([amount_fee(5)], period=1)])
    draft = await newest(engine, tenant)
    async with begin(engine, tenant) as conn:
        row = (await conn.execute(select(invoices))).mappings().one()
    copied = {key: value for key, value in row.items() if key != "ordinal"}
    with pytest.raises(IntegrityError, match="one_draft"):
        async with begin(engine, tenant) as conn:
            await conn.execute(insert(invoices).values({**copied, "invoice_id": uuid4()}))
    assert draft.status == "draft"


@pytest.mark.parametrize(
    "change",
    [
        {"total_minor": 1},
        {"subtotal_minor": -1, "total_minor": -1},
        {"credits_minor": 1, "total_minor": -1},
        {"number": "INV-1"},
        {"status": "gone"},
        {"finalized_at": NOW},
        {"refreshed_revision": 99},
    ],
)
async def test_an_invoice_keeps_its_invariants(
    engine: AsyncEngine, tenant: Tenant, change: dict[str, object]
) -> None:
    await announce(engine, tenant, [rated([amount_fee(5)])])
    with pytest.raises(IntegrityError):
        async with begin(engine, tenant) as conn:
            await conn.execute(update(invoices).values(**change))


async def test_a_tenant_neither_sees_nor_writes_anothers_rows(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    await finalized(engine, tenant)
    other = Tenant(tenant + 1_000_000)
    async with begin(engine, other) as conn:
        for table in (invoices, *PARTS, invoice_periods):
            assert (await conn.execute(select(table))).all() == []
    with pytest.raises(DBAPIError, match="row-level security"):
        async with begin(engine, other) as conn:
            await conn.execute(
                text("INSERT INTO number_series VALUES (:tenant, 'invoices', 'default', 7)"),
                {"tenant": tenant},
            )
    async with begin_worker(worker) as conn:
        seen = await conn.execute(select(invoices.c.invoice_id).filter_by(tenant=tenant))
        assert isinstance(seen.scalar_one(), UUID)
