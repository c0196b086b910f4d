"""Voiding gives back everything, once; and what was voided can be billed again, once."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import Snapshots, begin
from libs.errors import Unavailable
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.adjusted_fee import AdjustedFee, InvoiceNotDraft
from services.invoicing.domain.credit_note import (
    CreditExceedsInvoice,
    InvoiceNotFinalized,
    NoteItem,
    NoteStatus,
)
from services.invoicing.domain.invoice import Credit, Invoice, Status
from services.invoicing.domain.verification import invoice_differences
from services.invoicing.domain.voiding import InvoiceNotVoided, InvoiceReissued, InvoiceVoided
from services.invoicing.operations import changing, drafting, noting, reading, voiding
from services.invoicing.operations.noting import NoteOrder
from services.invoicing.store import verification
from services.invoicing.store.schema import invoices
from tests.store.invoicing.steps import (
    NOW,
    announce,
    claim_one,
    complete_one,
    finalized,
    freeze_one,
    frozen,
    newest,
)
from tests.unit.invoicing.samples import amount_fee, rated


def request(method: str = "void") -> Request:
    return Request(method, uuid4(), b"")


async def void(engine: AsyncEngine, tenant: Tenant, invoice: Invoice) -> Invoice:
    await voiding.void_invoice(
        engine, tenant, request(), invoice.invoice_id, reason="disputed", now=NOW
    )
    return await reading.get_invoice(engine, tenant, invoice_id=invoice.invoice_id)


async def reissue(engine: AsyncEngine, tenant: Tenant, voided: Invoice) -> UUID:
    answer = await voiding.reissue_invoice(
        engine, tenant, request("reissue"), voided.invoice_id, now=NOW
    )
    return UUID(answer.invoice.invoice_id)


async def credit(engine: AsyncEngine, tenant: Tenant, invoice: Invoice, amount_minor: int) -> UUID:
    """Give back some of the first line, and return the note."""
    items = (NoteItem(invoice.lines[0].line_id, amount_minor),)
    order = NoteOrder(invoice.invoice_id, items, "")
    answer = await noting.create_note(engine, tenant, request("note"), order, now=NOW)
    return UUID(answer.credit_note.credit_note_id)


async def test_what_credit_notes_paid_is_theirs_again_and_the_document_stands(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    first = await finalized(engine, tenant, 100)
    note_id = await credit(engine, tenant, first, 60)
    period = rated([amount_fee(50)], period=uuid4().int)
    invoice_id = await frozen(engine, tenant, [period])
    await complete_one(engine, tenant, invoice_id)
    billed = await reading.get_invoice(engine, tenant, invoice_id=invoice_id)
    assert (billed.credit_notes_minor, billed.total_minor) == (50, 0)

    voided = await void(engine, tenant, billed)
    note = await noting.get_note(engine, tenant, note_id=note_id)
    assert (note.status, note.balance_minor) == (NoteStatus.AVAILABLE, 60)
    assert (voided.status, voided.number, voided.notes) == (
        Status.VOIDED,
        billed.number,
        billed.notes,
    )
    assert voided.voiding is not None and voided.voiding.reason == "disputed"
    with pytest.raises(InvoiceVoided):
        await void(engine, tenant, billed)

    again = await reissue(engine, tenant, voided)
    with pytest.raises(InvoiceReissued):
        await reissue(engine, tenant, voided)
    claimed = await claim_one(engine, tenant, again)
    assert claimed.period_ids == [period.period_id]
    assert await freeze_one(engine, tenant, again, closed=[period])
    await complete_one(engine, tenant, again)
    made = await reading.get_invoice(engine, tenant, invoice_id=again)
    assert (made.credit_notes_minor, made.reissue_of) == (50, invoice_id)
    async with Snapshots(engine, worker, tenant).begin() as conn:
        found = {
            one.invoice_id: one
            for one in await verification.load_frozen(conn, after=None, limit=10)
        }
        assert await verification.find_number_faults(conn) == []
        billing = await verification.load_billed(conn, [(tenant, period.period_id, 0)])
    assert invoice_differences(found[invoice_id], [period]) == []
    assert invoice_differences(found[again], [period]) == []
    assert billing[tenant, period.period_id, 0].invoice_count == 1


async def test_a_period_of_a_voided_invoice_is_not_drafted_when_it_is_announced_again(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(100)], period=uuid4().int)
    invoice_id = await frozen(engine, tenant, [period])
    await complete_one(engine, tenant, invoice_id)
    await void(engine, tenant, await reading.get_invoice(engine, tenant, invoice_id=invoice_id))
    await announce(engine, tenant, [period])
    listed = await reading.list_invoices(
        engine, tenant, customer_id="c1", status=None, before=None, limit=9
    )
    assert [one.invoice_id for _, one in listed] == [invoice_id]


async def test_unused_notes_are_voided_with_their_invoice_and_used_ones_forbid_it(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    first = await finalized(engine, tenant, 100)
    unused = await credit(engine, tenant, first, 40)
    await void(engine, tenant, first)
    note = await noting.get_note(engine, tenant, note_id=unused)
    assert note.status is NoteStatus.VOIDED
    second = await finalized(engine, tenant, 100)
    assert second.credit_notes_minor == 0
    await credit(engine, tenant, second, 40)
    third = await finalized(engine, tenant, 100)
    assert third.credit_notes_minor == 40
    with pytest.raises(CreditExceedsInvoice, match="0 is paid, and credit notes of 40 are used"):
        await void(engine, tenant, second)
    await void(engine, tenant, third)  # That gives the note back, so nothing of it is used.
    await void(engine, tenant, second)


async def test_what_wallets_paid_is_returned_before_it_is_billed_again(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(100)], period=uuid4().int)
    invoice_id = await frozen(engine, tenant, [period])
    line = (await reading.get_invoice(engine, tenant, invoice_id=invoice_id)).lines[0]
    await complete_one(
        engine, tenant, invoice_id, [Credit(line.line_id, uuid4(), uuid4(), 30, False)]
    )
    paid = await reading.get_invoice(engine, tenant, invoice_id=invoice_id)
    with pytest.raises(InvoiceNotVoided):
        await reissue(engine, tenant, paid)
    voided = await void(engine, tenant, paid)
    assert (await voiding.needs_return(engine, tenant, invoice_id)) == NOW
    with pytest.raises(Unavailable):
        await reissue(engine, tenant, voided)
    for _ in range(2):
        await voiding.mark_returned(engine, tenant, invoice_id, now=NOW)
    assert await voiding.needs_return(engine, tenant, invoice_id) is None
    await reissue(engine, tenant, voided)


async def test_drafts_are_not_voided_and_a_voided_invoice_stands(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice_id = await frozen(engine, tenant, [rated([amount_fee(1)], period=uuid4().int)])
    waiting = await reading.get_invoice(engine, tenant, invoice_id=invoice_id)
    with pytest.raises(InvoiceNotFinalized):
        await void(engine, tenant, waiting)
    voided = await void(engine, tenant, await finalized(engine, tenant))
    for change in ({"status": "finalized"}, {"customer_id": "c1"}):
        with pytest.raises(IntegrityError, match="closed"):
            async with begin(engine, tenant) as conn:
                which = update(invoices).filter_by(invoice_id=voided.invoice_id)
                await conn.execute(which.values(**change))


async def test_fees_set_by_hand_survive_a_refresh_the_freeze_and_being_billed_again(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(100)], period=uuid4().int)
    await announce(engine, tenant, [period])
    draft = await newest(engine, tenant)
    work = await drafting.load_draft(engine, tenant, draft.invoice_id)
    assert await drafting.refresh_draft(engine, tenant, work, [period])
    [line] = (await newest(engine, tenant)).lines
    fee = AdjustedFee(line.line_id, "Agreed", Decimal(2), Decimal("0.4"))
    await changing.adjust_fees(engine, tenant, request("adjust"), draft.invoice_id, [fee])
    assert not await drafting.refresh_draft(engine, tenant, work, [period])  # It has moved on.
    await claim_one(engine, tenant, draft.invoice_id)
    assert await freeze_one(engine, tenant, draft.invoice_id, closed=[period])
    await complete_one(engine, tenant, draft.invoice_id)
    with pytest.raises(InvoiceNotDraft):
        await changing.adjust_fees(engine, tenant, request("adjust"), draft.invoice_id, [fee])
    voided = await void(engine, tenant, await newest(engine, tenant))
    assert (voided.total_minor, voided.lines[0].fee.description) == (80, "Agreed")

    free = AdjustedFee(line.line_id, "Given away", Decimal(2), Decimal(0))
    answer = await voiding.reissue_invoice(
        engine, tenant, request("reissue"), voided.invoice_id, [free], now=NOW
    )
    again = UUID(answer.invoice.invoice_id)
    await claim_one(engine, tenant, again)
    assert await freeze_one(engine, tenant, again, closed=[period])
    await complete_one(engine, tenant, again)
    made = await reading.get_invoice(engine, tenant, invoice_id=again)
    assert (made.total_minor, made.lines[0].fee.description) == (0, "Given away")
    async with Snapshots(engine, worker, tenant).begin() as conn:
        found = await verification.load_frozen(conn, after=None, limit=10)
    assert [invoice_differences(one, [period]) for one in found] == [[], []]
