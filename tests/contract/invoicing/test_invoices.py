"""From usage to a numbered document, through gRPC and over all four services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pypdfium2
import pytest

from cli.client import SuiteClient, refusal
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.customer_service_pb2 import (
    Customer,
    GetCustomerRequest,
    UpsertCustomerRequest,
)
from tally.invoicing.v1.invoice_service_pb2 import (
    GetInvoiceRequest,
    Invoice,
    InvoiceStatus,
    ListFoldedLinesRequest,
    ListInvoicesRequest,
    RenderInvoiceRequest,
)
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest, Tax
from tally.invoicing.v1.tenant_service_pb2 import (
    BillingEntity,
    UpdateBillingEntityRequest,
    ZeroInvoices,
)
from tally.rating.v1.plan_service_pb2 import Timing
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
    WalletScope,
)
from tests.scenario.builders import Line, invoices, lines, record, sell, subscribe, usage
from tests.suite import Suite

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
_month = 0


def next_month() -> tuple[datetime, datetime]:
    """Return a month that no other test of the module billed; the suite's time only moves on."""
    global _month
    first, end = (
        START.replace(year=START.year + place // 12, month=place % 12 + 1)
        for place in (_month, _month + 1)
    )
    _month += 2  # A test may go on into the month after its own.
    return first, end


async def set_entity(client: SuiteClient, entity: BillingEntity) -> None:
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
    )


async def newest(client: SuiteClient) -> Invoice:
    [found] = (await client.invoices.ListInvoices(ListInvoicesRequest(page_size=1))).invoices
    asked = GetInvoiceRequest(invoice_id=found.invoice_id)
    return (await client.invoices.GetInvoice(asked)).invoice


async def text_of(client: SuiteClient, invoice: Invoice) -> str:
    request = RenderInvoiceRequest(invoice_id=invoice.invoice_id)
    first = await client.invoices.RenderInvoice(request)
    again = await client.invoices.RenderInvoice(request)
    assert first.document == again.document
    assert first.media_type == "application/pdf"
    pages = pypdfium2.PdfDocument(first.document)
    return " ".join(page.get_textpage().get_text_range() for page in pages)


async def test_usage_becomes_a_numbered_invoice_with_tax(suite: Suite) -> None:
    month, end = next_month()
    await suite.advance(month)
    async with suite.client(suite.new_tenant()) as client:
        tax = Tax(code="gst", name="GST", rate_percent="10")
        await client.taxes.CreateTax(CreateTaxRequest(request_id=str(uuid4()), tax=tax))
        await set_entity(
            client, BillingEntity(name="Seller", default_tax_codes=["gst"], net_terms_days=14)
        )
        await sell(client, base_amount="20")
        await subscribe(client, "c1", month)
        await record(client, [usage("c1", month + HOUR, "150")])
        await suite.advance(end + HOUR)
        [invoice] = await invoices(client)
        text = await text_of(client, invoice)
        asked = GetInvoiceRequest(number=invoice.number)
        assert (await client.invoices.GetInvoice(asked)).invoice == invoice
        stub = await client.customers.GetCustomer(GetCustomerRequest(customer_id="c1"))
    assert sorted(lines(invoice), key=lambda line: line.code) == [
        Line("", "1", 2000),
        Line("calls", "150", 150),
    ]
    assert (invoice.subtotal_minor, invoice.tax_minor, invoice.total_minor) == (2150, 215, 2365)
    assert sum(line.tax_share_minor for line in invoice.lines) == 215
    assert invoice.number == f"INV-{end:%Y%m}-001"
    assert (invoice.issue_date.day, invoice.due_date.day) == (1, 15)
    assert len(invoice.trace_id) == 32
    assert stub.customer.stub
    for expected in (invoice.number, "Seller", "$21.50", "$2.15", "$23.65"):
        assert expected in text


async def test_prepaid_credits_pay_usage_and_leave_the_base_fee(suite: Suite) -> None:
    month, end = next_month()
    await suite.advance(month)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="99")
        wallet = Wallet(
            customer_id="c1", currency_code="USD", scope=WalletScope(fee_kinds=["usage"])
        )
        opened = await client.wallets.CreateWallet(
            CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
        )
        grant = Grant(
            wallet_id=opened.wallet.wallet_id,
            kind=GrantKind.GRANT_KIND_PURCHASED,
            amount=Money(currency_code="USD", amount_minor=500),
        )
        await client.wallets.GrantCredits(GrantCreditsRequest(request_id=str(uuid4()), grant=grant))
        await subscribe(client, "c1", month)
        await record(client, [usage("c1", month + HOUR, "300")])
        await suite.advance(end + HOUR)
        [invoice] = await invoices(client)
        text = await text_of(client, invoice)
    paid = {line.charge_code: line.credits_minor for line in invoice.lines}
    assert paid == {"": 0, "calls": 300}
    assert (invoice.credits_minor, invoice.total_minor) == (300, 9900)
    assert "Paid from prepaid credits" in text


async def test_a_draft_in_its_grace_follows_its_usage(suite: Suite) -> None:
    month, end = next_month()
    await suite.advance(month)
    async with suite.client(suite.new_tenant()) as client:
        await set_entity(client, BillingEntity(grace_days=3))
        await sell(client)
        await subscribe(client, "c1", month)
        await record(client, [usage("c1", month + HOUR, "100")])
        await suite.advance(end + HOUR)
        draft = await newest(client)
        assert draft.status == InvoiceStatus.INVOICE_STATUS_DRAFT
        assert (draft.number, lines(draft)) == ("", [Line("calls", "100", 100)])
        assert "DRAFT" in await text_of(client, draft)

        await record(client, [usage("c1", end - HOUR, "11")])
        await suite.settle()
        assert lines(await newest(client)) == [Line("calls", "111", 111)]

        await suite.advance(end + timedelta(days=4))
        [final] = await invoices(client)
    assert (final.invoice_id, final.subtotal_minor) == (draft.invoice_id, 111)
    assert final.lines[0].line_id == draft.lines[0].line_id


async def test_an_invoice_of_nothing_is_skipped_where_that_is_wanted(suite: Suite) -> None:
    month, end = next_month()
    await suite.advance(month)
    async with suite.client(suite.new_tenant()) as client:
        await set_entity(client, BillingEntity(zero_invoices=ZeroInvoices.ZERO_INVOICES_SKIP))
        await sell(client)
        await subscribe(client, "c1", month)
        await suite.advance(end + HOUR)
        skipped = await newest(client)
    assert skipped.status == InvoiceStatus.INVOICE_STATUS_SKIPPED
    assert (skipped.number, skipped.total_minor) == ("", 0)


async def test_invoices_page_from_the_newest(suite: Suite) -> None:
    month, _ = next_month()
    await suite.advance(month)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="1", base_timing=Timing.TIMING_IN_ADVANCE)
        for customer in ("a", "b", "c"):
            profile = Customer(customer_id=customer, name=customer.upper())
            await client.customers.UpsertCustomer(
                UpsertCustomerRequest(request_id=str(uuid4()), customer=profile)
            )
            await subscribe(client, customer, month)
            await suite.settle()
        page = await client.invoices.ListInvoices(ListInvoicesRequest(page_size=2))
        rest = await client.invoices.ListInvoices(
            ListInvoicesRequest(page_size=2, page_token=page.next_page_token)
        )
        only = await client.invoices.ListInvoices(ListInvoicesRequest(customer_id="b"))
    assert [one.customer_id for one in page.invoices] == ["c", "b"]
    assert [one.customer_name for one in rest.invoices] == ["A"]
    assert rest.next_page_token == ""
    assert [one.customer_id for one in only.invoices] == ["b"]
    assert len(page.invoices[0].lines) == 0


async def test_another_tenants_invoice_is_not_found(suite: Suite) -> None:
    month, _ = next_month()
    await suite.advance(month)
    async with (
        suite.client(suite.new_tenant()) as client,
        suite.client(suite.new_tenant()) as other,
    ):
        await sell(client, base_amount="1", base_timing=Timing.TIMING_IN_ADVANCE)
        await subscribe(client, "c1", month)
        await suite.settle()
        invoice = await newest(client)
        for asked in (
            GetInvoiceRequest(invoice_id=invoice.invoice_id),
            GetInvoiceRequest(number=invoice.number),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await other.invoices.GetInvoice(asked)
            assert refusal(caught.value).reason == "INVOICE_NOT_FOUND"


async def test_groups_beyond_200_are_one_line_and_listed_behind_it(suite: Suite) -> None:
    month, end = next_month()
    await suite.advance(month)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, group_by="team")
        await subscribe(client, "c1", month)
        events = [usage("c1", month + HOUR, str(n), team=f"t{n:03}") for n in range(1, 204)]
        await record(client, events)
        await suite.advance(end + HOUR)
        [invoice] = await invoices(client)
        *groups, rest = invoice.lines
        asked = ListFoldedLinesRequest(
            invoice_id=invoice.invoice_id, line_id=rest.line_id, page_size=2
        )
        first = await client.invoices.ListFoldedLines(asked)
        asked.page_token = first.next_page_token
        last = await client.invoices.ListFoldedLines(asked)
        text = await text_of(client, invoice)
    assert [line.units for line in groups] == [str(n) for n in range(203, 3, -1)]
    assert (rest.folded_lines, rest.units, rest.amount_minor) == (3, "6", 6)
    behind = [*first.lines, *last.lines]
    assert [line.group_values[0].value for line in behind] == ["t003", "t002", "t001"]
    assert [row.amount for line in behind for row in line.breakdown] == ["0.03", "0.02", "0.01"]
    assert not last.next_page_token
    assert invoice.subtotal_minor == sum(range(1, 204))
    assert "3 more groups" in text
