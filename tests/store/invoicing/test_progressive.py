"""Progressive invoices in the database: one a crossing, credited once, in their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, begin_worker
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.credit_note import NoteItem
from services.invoicing.domain.invoice import Invoice, Kind, Status
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.operations import noting, reading
from services.invoicing.operations.noting import NoteOrder
from services.invoicing.operations.progressive import Crossing, draft_crossings
from services.invoicing.store import work
from services.invoicing.store.progressive_verification import find_progressive_faults
from tests.store.invoicing.steps import (
    NOW,
    announce,
    claim_one,
    complete_one,
    freeze_one,
    newest,
)
from tests.unit.invoicing.samples import amount_fee, rated


def crossing(period: RatedPeriod, sequence: int, at: datetime = NOW) -> Crossing:
    """The fact that usage of a period crossed thresholds."""
    return Crossing(uuid4(), sequence, "c1", "USD", period.period_id, period.period, "UTC", at, {})


def snapshot(period: RatedPeriod, amount_minor: int) -> RatedPeriod:
    """What rating froze of usage so far."""
    return replace(period, fees=(amount_fee(amount_minor),))


async def cross(engine: AsyncEngine, tenant: Tenant, *crossings: Crossing) -> None:
    """Take such facts."""
    async with begin(engine, tenant) as conn:
        await draft_crossings(conn, tenant, crossings, now=NOW)


async def finalize(
    engine: AsyncEngine, tenant: Tenant, invoice_id: UUID, snapshot: RatedPeriod
) -> Invoice:
    """Bring a draft to its number."""
    await claim_one(engine, tenant, invoice_id)
    assert await freeze_one(engine, tenant, invoice_id, closed=[snapshot])
    await complete_one(engine, tenant, invoice_id)
    return await reading.get_invoice(engine, tenant, invoice_id=invoice_id)


async def finalizable(worker: AsyncEngine, tenant: Tenant) -> list[UUID]:
    """The tenant's invoices that could be finalized now."""
    async with begin_worker(worker) as conn:
        found = await work.find_finalizable(conn, now=NOW, limit=100)
    return [invoice_id for of, invoice_id in found if of == tenant]


async def test_each_crossing_has_one_invoice_and_what_follows_waits_for_it(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(200)], period=uuid4().int)
    first, second = crossing(period, 1), crossing(period, 2)
    await cross(engine, tenant, first)
    await cross(engine, tenant, first)
    early = await newest(engine, tenant)
    assert (early.kind, early.status, early.alone) == (
        Kind.PROGRESSIVE,
        Status.DRAFT,
        first.crossing_id,
    )
    assert await finalizable(worker, tenant) == [early.invoice_id]
    await cross(engine, tenant, second)
    later = await newest(engine, tenant)
    await announce(engine, tenant, [period])
    close = await newest(engine, tenant)
    assert await finalizable(worker, tenant) == [early.invoice_id]
    await finalize(engine, tenant, early.invoice_id, snapshot(period, 20))
    assert await finalizable(worker, tenant) == [later.invoice_id]
    shown = await finalize(engine, tenant, later.invoice_id, snapshot(period, 50))
    assert (shown.progressive_credit_minor, shown.subtotal_minor) == (20, 30)
    assert await finalizable(worker, tenant) == [close.invoice_id]
    closed = await finalize(engine, tenant, close.invoice_id, period)
    assert (closed.progressive_credit_minor, closed.total_minor) == (50, 150)
    [credit] = closed.early
    assert (credit.invoice_id, credit.number) == (later.invoice_id, shown.number)
    await cross(engine, tenant, replace(second, sequence=3))  # Too late: its invoice bills it.
    assert (await newest(engine, tenant)).invoice_id == close.invoice_id


async def test_usage_taken_back_is_given_back_on_the_progressive_invoice(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(12)], period=uuid4().int)
    await cross(engine, tenant, crossing(period, 1))
    draft = await newest(engine, tenant)
    early = await finalize(engine, tenant, draft.invoice_id, snapshot(period, 100))
    order = NoteOrder(early.invoice_id, (NoteItem(early.lines[0].line_id, 30),), "by hand")
    await noting.create_note(engine, tenant, Request("create", uuid4(), b""), order, now=NOW)
    await announce(engine, tenant, [period])
    close = await newest(engine, tenant)
    closed = await finalize(engine, tenant, close.invoice_id, period)
    assert (closed.progressive_credit_minor, closed.total_minor) == (12, 0)
    notes = await noting.list_notes(
        engine, tenant, customer_id="c1", invoice_id=early.invoice_id, before=None, limit=10
    )
    assert [note.total_minor for _, note in notes] == [58, 30]
    assert notes[0][1].crediting_invoice_id == close.invoice_id
    async with begin_worker(worker) as conn:
        assert [one for one in await find_progressive_faults(conn) if one.tenant == tenant] == []
