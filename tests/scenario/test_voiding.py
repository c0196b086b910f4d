"""A bill that was wrong is taken back whole, and billed again: nothing is lost on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.billing_service_pb2 import (
    AddOn,
    CreateOneOffInvoiceRequest,
    ReissueInvoiceRequest,
    VoidInvoiceRequest,
)
from tally.invoicing.v1.credit_note_service_pb2 import CreateCreditNoteRequest, CreditNoteItem
from tally.invoicing.v1.invoice_service_pb2 import (
    GetInvoiceRequest,
    Invoice,
    InvoiceKind,
    InvoiceStatus,
    VerifyCreditsRequest,
    VerifyInvoicesRequest,
)
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    GetBalanceRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
    WalletScope,
)
from tests.scenario.builders import invoices, record, sell, subscribe, usage
from tests.scenario.test_credit_notes import tax_all
from tests.suite import Suite

JAN_1, FEB_1 = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)
BILLED = timedelta(minutes=11)  # After the collection delay.
HOUR = timedelta(hours=1)


async def grant(client: SuiteClient, amount_minor: int) -> str:
    """Give the customer credits for everything; return the wallet."""
    wallet = Wallet(customer_id="acme", currency_code="USD", scope=WalletScope())
    made = CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    wallet_id = (await client.wallets.CreateWallet(made)).wallet.wallet_id
    amount = Money(currency_code="USD", amount_minor=amount_minor)
    credits = Grant(wallet_id=wallet_id, kind=GrantKind.GRANT_KIND_GRANTED, amount=amount)
    await client.wallets.GrantCredits(GrantCreditsRequest(request_id=str(uuid4()), grant=credits))
    return wallet_id


async def available(client: SuiteClient, wallet_id: str) -> int:
    balance = await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))
    return balance.balance.available.amount_minor


async def shown(client: SuiteClient, invoice: Invoice) -> Invoice:
    asked = GetInvoiceRequest(invoice_id=invoice.invoice_id)
    return (await client.invoices.GetInvoice(asked)).invoice


async def check(client: SuiteClient) -> None:
    """Check that invoices, notes and the ledger agree."""
    for told in (
        [one async for one in client.invoices.VerifyInvoices(VerifyInvoicesRequest())],
        [one async for one in client.invoices.VerifyCredits(VerifyCreditsRequest())],
    ):
        assert [one.WhichOneof("result") for one in told] == ["verification"], told


async def test_a_disputed_bill_is_credited_then_voided_and_billed_again(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await tax_all(client)  # 10 %.
        wallet_id = await grant(client, 5_000)
        await sell(client, base_amount="100")
        await subscribe(client, "acme", JAN_1)
        await suite.advance(JAN_1 + HOUR)
        await record(client, [usage("acme", JAN_1 + timedelta(minutes=1), "2000")])
        await suite.advance(FEB_1 + BILLED)
        [bill] = await invoices(client)
        # 100.00 and 20.00 of usage, and a tenth: 132.00, of which 50.00 are prepaid.
        assert (bill.subtotal_minor, bill.credits_minor, bill.total_minor) == (
            12_000,
            5_000,
            8_200,
        )
        assert await available(client, wallet_id) == 0

        # The usage is disputed: half of it is given back, as a note of 11.00.
        [usage_line] = [line for line in bill.lines if line.charge_code]
        item = CreditNoteItem(line_id=usage_line.line_id, amount_minor=1_000)
        noting = CreateCreditNoteRequest(
            request_id=str(uuid4()), invoice_id=bill.invoice_id, items=[item]
        )
        note = (await client.credit_notes.CreateCreditNote(noting)).credit_note
        assert note.total_minor == 1_100

        # That was not enough: the bill is taken back, and the note with it.
        voiding = VoidInvoiceRequest(
            request_id=str(uuid4()), invoice_id=bill.invoice_id, reason="Wrong address"
        )
        voided = (await client.billing.VoidInvoice(voiding)).invoice
        assert (await client.billing.VoidInvoice(voiding)).invoice == voided
        assert voided.status == InvoiceStatus.INVOICE_STATUS_VOIDED
        assert (voided.number, voided.voiding.reason) == (bill.number, "Wrong address")
        assert (bill.due_minor, voided.due_minor) == (8_200, 0)
        await suite.advance(FEB_1 + HOUR)
        assert await available(client, wallet_id) == 5_000
        await check(client)

        again = ReissueInvoiceRequest(request_id=str(uuid4()), invoice_id=bill.invoice_id)
        draft = (await client.billing.ReissueInvoice(again)).invoice
        assert draft.reissue_of == bill.invoice_id
        await suite.advance(FEB_1 + 2 * HOUR)
        made = await shown(client, draft)
        assert (made.number, made.subtotal_minor, made.credits_minor, made.total_minor) == (
            "INV-202702-002",
            12_000,
            5_000,
            8_200,
        )
        assert [line.period_id for line in made.lines] == [line.period_id for line in bill.lines]
        assert (await shown(client, bill)).voiding.reissued_as == made.invoice_id
        assert await available(client, wallet_id) == 0
        await check(client)

        # Setup was forgotten, and is billed by hand: 2.5 hours at 80.00.
        hours = AddOn(name="Setup", units="2.5", unit_amount="80")
        by_hand = CreateOneOffInvoiceRequest(
            request_id=str(uuid4()), customer_id="acme", currency_code="USD", add_ons=[hours]
        )
        drafted = (await client.billing.CreateOneOffInvoice(by_hand)).invoice
        await suite.advance(FEB_1 + 3 * HOUR)
        setup = await shown(client, drafted)
        assert setup.kind == InvoiceKind.INVOICE_KIND_ONE_OFF
        assert (setup.number, setup.total_minor) == ("INV-202702-003", 22_000)
        await check(client)
