"""What late usage gives back becomes a credit note, once, and pays the next invoices."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, begin_worker
from libs.tenant import Tenant
from services.invoicing.domain.credit_note import CreditNote, NoteStatus
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import Fee, RatedPeriod
from services.invoicing.operations import drafting, reading
from services.invoicing.operations.drafting import ChangedUsage
from services.invoicing.operations.gathering import gather, settle
from services.invoicing.store import gathering
from services.invoicing.store.credit_notes import list_notes
from services.invoicing.store.note_schema import credit_note_items, credit_notes
from services.invoicing.store.schema import late_periods
from tests.store.invoicing.steps import (
    NOW,
    announce,
    claim_one,
    complete_one,
    freeze_one,
    frozen,
    newest,
)
from tests.unit.invoicing.samples import amount_fee, rated

DAY = timedelta(days=1)
SOON = NOW + timedelta(minutes=10)


async def billed(engine: AsyncEngine, tenant: Tenant, *fees: Fee, period: int = 1) -> Invoice:
    """Bill a period on a finalized invoice."""
    invoice_id = await frozen(engine, tenant, [rated(fees, period=period)])
    await complete_one(engine, tenant, invoice_id)
    return await reading.get_invoice(engine, tenant, invoice_id=invoice_id)


async def late(engine: AsyncEngine, tenant: Tenant, *, version: int = 1, period: int = 1) -> None:
    """Take the fact that a closed period's usage changed."""
    changed = ChangedUsage(UUID(int=period), "c1", "USD", late_version=version, closed=True)
    async with begin(engine, tenant) as conn:
        await drafting.note_changed_usage(conn, tenant, [changed], now=NOW)


async def gathered(
    engine: AsyncEngine, tenant: Tenant, *fees: Fee, version: int = 1
) -> list[CreditNote]:
    """Gather period 1 with rating's answer, and return the notes there are, oldest first."""
    for one in await gather(engine, tenant, "c1", "USD", now=SOON):
        answer = rated(fees, period=1, sequence=one.sequence, late_version=version)
        await settle(engine, tenant, [one.rated or answer], now=SOON)
    return await notes(engine, tenant)


async def notes(engine: AsyncEngine, tenant: Tenant) -> list[CreditNote]:
    async with begin(engine, tenant) as conn:
        found = await list_notes(
            conn, tenant, customer_id="c1", invoice_id=None, before=None, limit=100
        )
    return [note for _, note in reversed(found)]


async def next_invoice(
    engine: AsyncEngine, tenant: Tenant, amount_minor: int, *, period: int
) -> Invoice:
    """Freeze and finalize an invoice of so much."""
    return await billed(engine, tenant, amount_fee(amount_minor), period=period)


async def test_an_adjustment_below_zero_is_a_note_on_the_invoice_of_its_period(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice = await billed(engine, tenant, amount_fee(100))
    await late(engine, tenant)
    [note] = await gathered(engine, tenant, amount_fee(-130 + 90))
    assert (note.invoice_id, note.invoice_number) == (invoice.invoice_id, invoice.number)
    assert (note.total_minor, note.balance_minor) == (40, 40)
    assert [(item.line_id, item.amount_minor) for item in note.items] == [
        (invoice.lines[0].line_id, 40)
    ]
    assert (note.number, note.status) == ("INV-CN-201401-001", NoteStatus.AVAILABLE)
    assert (note.period_id, note.sequence) == (UUID(int=1), 1)


async def test_a_note_pays_the_next_invoices_until_nothing_is_left(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await billed(engine, tenant, amount_fee(100))
    await late(engine, tenant)
    [note] = await gathered(engine, tenant, amount_fee(-50))
    first = await next_invoice(engine, tenant, 30, period=2)
    assert (first.credit_notes_minor, first.total_minor) == (30, 0)
    assert [line.credit_notes_minor for line in first.lines] == [30]
    assert [(one.number, one.amount_minor) for one in first.notes] == [(note.number, 30)]
    [left] = await notes(engine, tenant)
    assert (left.balance_minor, left.status) == (20, NoteStatus.AVAILABLE)
    second = await next_invoice(engine, tenant, 30, period=3)
    assert (second.credit_notes_minor, second.total_minor) == (20, 10)
    [left] = await notes(engine, tenant)
    assert (left.balance_minor, left.status) == (0, NoteStatus.CONSUMED)
    assert (await next_invoice(engine, tenant, 30, period=4)).credit_notes_minor == 0


async def test_what_an_invoice_gathers_is_a_note_that_pays_it(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await billed(engine, tenant, amount_fee(100))
    await late(engine, tenant)
    closed = rated([amount_fee(70)], period=2)
    await announce(engine, tenant, [closed], due_at=NOW + DAY)
    draft = await newest(engine, tenant)
    claim = await claim_one(engine, tenant, draft.invoice_id)
    assert [(one.period_id.int, one.sequence) for one in claim.adjustments] == [(1, 1)]
    adjusted = rated([amount_fee(-90)], period=1, sequence=1, late_version=1)
    await freeze_one(engine, tenant, draft.invoice_id, closed=[closed], adjusted=[adjusted])
    invoice = await newest(engine, tenant)
    assert (invoice.subtotal_minor, invoice.credit_notes_minor, invoice.total_minor) == (70, 70, 0)
    assert [line.payable_minor for line in invoice.lines] == [0]
    [note] = await notes(engine, tenant)
    assert (note.total_minor, note.balance_minor) == (90, 20)
    assert await gathered(engine, tenant, amount_fee(-90)) == [note]


async def test_an_adjustment_waits_while_the_invoice_of_its_period_is_unfinished(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    invoice_id = await frozen(engine, tenant, [rated([amount_fee(100)])])
    await late(engine, tenant)
    assert await gathered(engine, tenant, amount_fee(-50)) == []
    assert await found(worker, tenant) == []
    await complete_one(engine, tenant, invoice_id)
    assert await found(worker, tenant) == [(tenant, "c1", "USD")]
    [note] = await gathered(engine, tenant)
    assert note.total_minor == 50
    assert await found(worker, tenant) == []


async def found(worker: AsyncEngine, tenant: Tenant) -> list[tuple[Tenant, str, str]]:
    """Return what of the tenant is to be gathered."""
    async with begin_worker(worker) as conn:
        every = await gathering.find_late(conn, now=SOON, limit=1_000)
    return [one for one in every if one[0] == tenant]


async def test_a_gathering_that_was_left_half_way_asks_for_the_same_again(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    await billed(engine, tenant, amount_fee(100))
    await late(engine, tenant)
    assert await found(worker, tenant) == [(tenant, "c1", "USD")]
    asked = [await gather(engine, tenant, "c1", "USD", now=SOON) for _ in range(3)]
    assert [[one.sequence for one in each] for each in asked] == [[1]] * 3
    assert await found(worker, tenant) == [(tenant, "c1", "USD")]
    [note] = await gathered(engine, tenant, amount_fee(-5))
    assert note.sequence == 1


async def test_two_that_settle_the_same_adjustment_make_one_note(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await billed(engine, tenant, amount_fee(100))
    await late(engine, tenant)
    await gather(engine, tenant, "c1", "USD", now=SOON)
    answer: RatedPeriod = rated([amount_fee(-5)], sequence=1, late_version=1)
    await asyncio.gather(*(settle(engine, tenant, [answer], now=SOON) for _ in range(4)))
    assert [note.total_minor for note in await notes(engine, tenant)] == [5]


async def test_notes_of_many_take_numbers_without_a_gap(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    for period in range(1, 6):
        await billed(engine, tenant, amount_fee(100), period=period)
    for period in range(1, 6):
        await late(engine, tenant, period=period)
    asked = await gather(engine, tenant, "c1", "USD", now=SOON)
    answers = [rated([amount_fee(-5)], period=one.period_id.int, sequence=1) for one in asked]
    await asyncio.gather(*(settle(engine, tenant, [one], now=SOON) for one in answers))
    made = await notes(engine, tenant)
    assert sorted(note.number for note in made) == [f"INV-CN-201401-{n:03}" for n in range(1, 6)]


async def test_what_is_owed_waits_for_the_next_invoice_as_lines(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await billed(engine, tenant, amount_fee(100))
    await late(engine, tenant)
    assert await gathered(engine, tenant, amount_fee(7)) == []
    closed = rated([amount_fee(70)], period=2)
    await announce(engine, tenant, [closed], due_at=NOW + DAY)
    claim = await claim_one(engine, tenant, (await newest(engine, tenant)).invoice_id)
    assert [one.rated and one.rated.amount_minor for one in claim.adjustments] == [7]


async def test_a_customer_is_gathered_soon_and_then_once_a_day(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await billed(engine, tenant, amount_fee(100))
    await late(engine, tenant)
    assert await due_at(engine, tenant) == SOON
    await gathered(engine, tenant, amount_fee(-5))
    assert await due_at(engine, tenant) is None
    await late(engine, tenant, version=2)
    assert await due_at(engine, tenant) == SOON + DAY


async def due_at(engine: AsyncEngine, tenant: Tenant) -> object:
    async with begin(engine, tenant) as conn:
        return (await conn.execute(select(late_periods.c.due_at))).scalar_one_or_none()


async def test_the_database_refuses_more_than_a_line_or_an_invoice_was_billed(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await billed(engine, tenant, amount_fee(100), amount_fee(50, code="b"))
    await late(engine, tenant)
    [note] = await gathered(engine, tenant, amount_fee(-60))
    for changed, items, match in (
        ({"total_minor": 41, "items_minor": 41}, 41, "give back 101 of line"),
        ({"total_minor": 91, "items_minor": 91}, 91, "give back 151 of the finalized invoice"),
        ({"total_minor": 10, "items_minor": 10}, 9, "sum to 9, not 10"),
    ):
        with pytest.raises(IntegrityError, match=match):
            await another(engine, tenant, note, changed, items)


async def another(
    engine: AsyncEngine, tenant: Tenant, note: CreditNote, changed: dict[str, int], item: int
) -> None:
    """Store a note like `note`, with one item."""
    async with begin(engine, tenant) as conn:
        row = (await conn.execute(select(credit_notes))).one()._asdict()
        del row["ordinal"]
        row |= {
            "credit_note_id": uuid4(),
            "number": "again",
            "entity_sequence": 2,
            "customer_sequence": 2,
            "period_id": None,
            "adjustment_sequence": 0,
            "subtotal_minor": changed["total_minor"],
            "balance_minor": changed["total_minor"],
            **changed,
        }
        await conn.execute(insert(credit_notes).values(row))
        added = {
            "tenant": tenant,
            "credit_note_id": row["credit_note_id"],
            "invoice_id": note.invoice_id,
            "line_id": note.items[0].line_id,
            "position": 0,
            "amount_minor": item,
        }
        await conn.execute(insert(credit_note_items).values(added))


async def test_a_note_stands_but_for_what_it_pays(engine: AsyncEngine, tenant: Tenant) -> None:
    await billed(engine, tenant, amount_fee(100))
    await late(engine, tenant)
    await gathered(engine, tenant, amount_fee(-60))
    for statement in (
        update(credit_notes).values(reason="else"),
        update(credit_notes).values(balance_minor=59),
        delete(credit_notes),
        update(credit_note_items).values(amount_minor=1),
        delete(credit_note_items),
    ):
        with pytest.raises(IntegrityError, match="stands|was applied"):
            async with begin(engine, tenant) as conn:
                await conn.execute(statement)
