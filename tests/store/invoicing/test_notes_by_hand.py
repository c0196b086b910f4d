"""Credit notes made by hand, beside each other and before an adjustment."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.credit_note import CreditExceedsLine, NoteItem
from services.invoicing.domain.invoice import Invoice
from services.invoicing.operations.noting import NoteOrder, create_note
from tests.store.invoicing.steps import NOW
from tests.store.invoicing.test_credit_notes import billed, gathered, late, notes
from tests.unit.invoicing.samples import amount_fee


async def give_back(
    engine: AsyncEngine, tenant: Tenant, invoice: Invoice, amount_minor: int
) -> None:
    """Give back so much of the invoice's only line."""
    [line] = invoice.lines
    order = NoteOrder(invoice.invoice_id, (NoteItem(line.line_id, amount_minor),), "")
    await create_note(engine, tenant, Request("create", uuid4(), b""), order, now=NOW)


async def test_notes_made_at_once_never_give_back_more_than_the_line(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice = await billed(engine, tenant, amount_fee(100))
    tries = (give_back(engine, tenant, invoice, 30) for _ in range(5))
    refused = [one for one in await asyncio.gather(*tries, return_exceptions=True) if one]
    assert [type(one) for one in refused] == [CreditExceedsLine] * 2
    assert [note.total_minor for note in await notes(engine, tenant)] == [30] * 3


async def test_what_was_given_back_by_hand_is_not_given_back_again(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice = await billed(engine, tenant, amount_fee(100))
    await give_back(engine, tenant, invoice, 60)
    await late(engine, tenant)
    made = await gathered(engine, tenant, amount_fee(-100))
    assert [(note.total_minor, note.sequence) for note in made] == [(60, 0), (40, 1)]
