"""What was billed too much is given back by credit notes, which pay the invoices that follow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest

from cli.client import SuiteClient, refusal
from tally.invoicing.v1.credit_note_service_pb2 import (
    CreateCreditNoteRequest,
    CreditNote,
    CreditNoteItem,
    CreditNoteStatus,
    GetCreditNoteRequest,
    ListCreditNotesRequest,
    VoidCreditNoteRequest,
)
from tally.invoicing.v1.invoice_service_pb2 import Invoice, VerifyInvoicesRequest
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest, Tax
from tally.invoicing.v1.tenant_service_pb2 import BillingEntity, UpdateBillingEntityRequest
from tally.rating.v1.plan_service_pb2 import Price, StandardPrice, Timing
from tests.scenario.builders import invoices, record, retract, sell, subscribe, usage
from tests.suite import Suite

JAN_1, FEB_1, MAR_1, APR_1, MAY_1 = (datetime(2026, n, 1, tzinfo=UTC) for n in range(1, 6))
BILLED = timedelta(minutes=11)  # After the collection delay.


async def tax_all(client: SuiteClient) -> None:
    """Tax everything with 10 %."""
    tax = Tax(code="vat", name="VAT", rate_percent="10")
    await client.taxes.CreateTax(CreateTaxRequest(request_id=str(uuid4()), tax=tax))
    entity = BillingEntity(name="Seller", default_tax_codes=["vat"], net_terms_days=365)
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
    )


async def notes(client: SuiteClient) -> list[CreditNote]:
    """Return all credit notes, oldest first."""
    found = (await client.credit_notes.ListCreditNotes(ListCreditNotesRequest())).credit_notes
    return list(reversed(found))


async def verified(client: SuiteClient) -> int:
    """Return how many credit notes were verified, without a difference."""
    told = [one async for one in client.invoices.VerifyInvoices(VerifyInvoicesRequest())]
    assert [one.WhichOneof("result") for one in told] == ["verification"], told
    counts = {one.name: one.count for one in told[0].verification.counts}
    return counts["credit notes"]


async def billed(client: SuiteClient) -> list[Invoice]:
    """Return the finalized invoices that bill something, oldest first."""
    return [invoice for invoice in await invoices(client) if invoice.lines]


def paid(invoice: Invoice) -> tuple[int, int, int]:
    """Return what an invoice bills, what notes paid of it, and what is left."""
    gross = invoice.subtotal_minor + invoice.tax_minor
    assert sum(line.credit_notes_minor for line in invoice.lines) == invoice.credit_notes_minor
    return gross, invoice.credit_notes_minor, invoice.total_minor


async def test_retracted_usage_is_given_back_and_pays_the_next_invoices(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await tax_all(client)
        dollar = Price(standard=StandardPrice(unit_amount="1"))
        advance = Timing.TIMING_IN_ADVANCE
        await sell(client, price=dollar, base_amount="99", base_timing=advance)
        await subscribe(client, "acme", JAN_1)
        wrong = usage("acme", JAN_1 + timedelta(days=3), "120")
        await suite.advance(JAN_1 + timedelta(days=9))
        right = usage("acme", JAN_1 + timedelta(days=4), "30")
        assert await record(client, [wrong, right]) == ["ACCEPTED"] * 2
        await suite.advance(FEB_1 + BILLED)
        bills = await billed(client)
        assert [paid(one) for one in bills] == [(10_890, 0, 10_890), (27_390, 0, 27_390)]
        february = bills[1]  # Its base fee, and the usage of January.

        await retract(client, wrong)
        await suite.advance(FEB_1 + timedelta(hours=1))
        [note] = await notes(client)
        assert (note.invoice_number, note.number) == (february.number, "INV-CN-202602-001")
        assert (note.subtotal_minor, note.tax_minor, note.balance_minor) == (12_000, 1_200, 13_200)
        [item] = note.items
        assert {line.line_id: line.charge_code for line in february.lines}[item.line_id] == "calls"

        await suite.advance(MAR_1 + BILLED)
        assert paid((await billed(client))[2]) == (10_890, 10_890, 0)
        [left] = await notes(client)
        assert left.balance_minor == 2_310
        await suite.advance(APR_1 + BILLED)
        april = (await billed(client))[3]
        assert paid(april) == (10_890, 2_310, 8_580)
        assert [(one.number, one.amount_minor) for one in april.credit_notes] == [
            (note.number, 2_310)
        ]
        [left] = await notes(client)
        assert left.status == CreditNoteStatus.CREDIT_NOTE_STATUS_CONSUMED
        assert (await billed(client))[:2] == bills
        assert await verified(client) == 1


async def test_a_disputed_line_is_given_back_once_and_never_more_than_it_has(suite: Suite) -> None:
    await suite.advance(APR_1 + BILLED)
    async with suite.client(suite.new_tenant()) as client:
        await tax_all(client)
        await sell(client, base_amount="100", base_timing=Timing.TIMING_IN_ADVANCE)
        await subscribe(client, "acme", APR_1)
        await suite.advance(APR_1 + timedelta(hours=1))
        [invoice] = await invoices(client)
        [line] = invoice.lines
        request = CreateCreditNoteRequest(
            request_id=str(uuid4()),
            invoice_id=invoice.invoice_id,
            items=[CreditNoteItem(line_id=line.line_id, amount_minor=4_005)],
            reason="Was down for days",
            validate_only=True,
        )
        estimate = await client.credit_notes.CreateCreditNote(request)
        assert (estimate.credit_note.total_minor, estimate.credit_note.number) == (4_406, "")
        assert estimate.creditable_minor == 6_595
        assert await notes(client) == []

        request.validate_only = False
        made = await client.credit_notes.CreateCreditNote(request)
        assert await client.credit_notes.CreateCreditNote(request) == made
        by_number = GetCreditNoteRequest(number=made.credit_note.number)
        found = (await client.credit_notes.GetCreditNote(by_number)).credit_note
        assert found == made.credit_note == (await notes(client))[0]
        assert (found.total_minor, found.reason) == (4_406, "Was down for days")

        request.request_id, request.items[0].amount_minor = str(uuid4()), 5_996
        with pytest.raises(grpc.aio.AioRpcError, match="5995 of 10000 left, 5996 cannot") as caught:
            await client.credit_notes.CreateCreditNote(request)
        assert refusal(caught.value).reason == "CREDIT_EXCEEDS_LINE"

        await void(client, found)
        request.items[0].amount_minor = 10_000  # All of it again: the note is void.
        whole = (await client.credit_notes.CreateCreditNote(request)).credit_note
        assert (whole.total_minor, whole.number) == (11_000, "INV-CN-202604-002")
        await suite.advance(MAY_1 + BILLED)
        assert paid((await billed(client))[1]) == (11_000, 11_000, 0)
        with pytest.raises(grpc.aio.AioRpcError, match="11000 of 11000") as caught:
            await void(client, whole)
        assert refusal(caught.value).reason == "CREDIT_NOTE_USED"
        assert await verified(client) == 2


async def void(client: SuiteClient, note: CreditNote) -> None:
    """Void a credit note, twice."""
    for _ in range(2):
        asked = VoidCreditNoteRequest(request_id=str(uuid4()), credit_note_id=note.credit_note_id)
        voided = (await client.credit_notes.VoidCreditNote(asked)).credit_note
        assert voided.status == CreditNoteStatus.CREDIT_NOTE_STATUS_VOIDED
        assert voided.balance_minor == 0
